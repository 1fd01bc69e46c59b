#include "pinfold/store/directory.hpp"

#include <algorithm>
#include <new>

#include "pinfold/base/work.hpp"

namespace pinfold::store {

namespace {
constexpr std::size_t first_root = 2;
}

Directory::Directory(Memory& memory) : memory_(memory), root_(first_root) {
  Word* const slots = allocate();
  if (slots == nullptr) throw std::bad_alloc();
  root_[0] = root_[1] = Chapter(slots, 0);
}

Directory::~Directory() {
  dismantle(root_.size());
  memory_.add(Use::index, -static_cast<std::int64_t>(memory_used_));  // the root: the heap has counted the chapters
}

Directory::Word* Directory::allocate() {
  char* const raw = memory_.index_heap().allocate(chapter_bytes);
  if (raw != nullptr) memory_used_ += chapter_bytes;
  return reinterpret_cast<Word*>(raw);
}

void Directory::release(Chapter chapter) {
  memory_used_ -= chapter_bytes;
  memory_.index_heap().free(reinterpret_cast<char*>(chapter.slots()), chapter_bytes);
}

bool Directory::dismantle(std::size_t chapters) {
  for (std::size_t freed = 0; dismantled_ < root_.size() && freed < chapters; ++freed) {
    const Chapter chapter = root_[dismantled_];
    dismantled_ += std::size_t{1} << (root_bits() - chapter.depth());
    release(chapter);
  }
  return dismantled_ >= root_.size();
}

void Directory::point(std::uint64_t prefix, unsigned depth, Word word) {
  const Chapter chapter = chapter_of(prefix);
  const std::size_t run = chapter_size >> (depth - chapter.depth());
  std::fill_n(chapter.slots() + (chapter.slot(prefix) & ~(run - 1)), run, word);
  work::bytes(run * sizeof(Word));
}

bool Directory::tell_apart(std::uint64_t prefix, unsigned depth) {
  while (chapter_of(prefix).depth() + chapter_bits < depth) {
    if (!cut_chapter(prefix)) return false;
  }
  return true;
}

// Puts a chapter into the root, in place of the one that `prefix` leads to, or of the half of it that has the chapter's
// depth.
void Directory::replace(std::uint64_t prefix, Chapter chapter) {
  const std::size_t run = std::size_t{1} << (root_bits() - chapter.depth());
  std::fill_n(root_.begin() + static_cast<std::ptrdiff_t>(root_slot(prefix) & ~(run - 1)), run, chapter);
  work::bytes(run * sizeof(Chapter));
}

// Cuts the chapter of `prefix` in two. Each half of its slots becomes a chapter in which every slot stands twice.
// Returns false if there is no memory.
bool Directory::cut_chapter(std::uint64_t prefix) {
  const Chapter old = chapter_of(prefix);
  if (old.depth() == root_bits() && !double_root()) return false;
  Word* const low = old.slots();
  Word* const high = allocate();
  if (high == nullptr) return false;
  constexpr std::size_t half = chapter_size / 2;
  for (std::size_t i = 0; i < half; ++i) high[2 * i] = high[2 * i + 1] = low[half + i];
  for (std::size_t i = half; i-- > 0;) low[2 * i] = low[2 * i + 1] = low[i];
  work::bytes(2 * chapter_bytes);
  const unsigned depth = old.depth() + 1;
  const std::uint64_t bit = 1ULL << (64 - depth);
  replace(prefix & ~bit, Chapter(low, depth));
  replace(prefix | bit, Chapter(high, depth));
  return true;
}

bool Directory::double_root() {
  std::vector<Chapter> doubled;
  try {
    doubled.resize(root_.size() * 2);
  } catch (const std::bad_alloc&) {
    return false;
  }
  work::allocation();
  for (std::size_t i = 0; i < doubled.size(); ++i) doubled[i] = root_[i / 2];
  const std::uint64_t more = root_.size() * sizeof(Chapter);
  work::bytes(2 * more);
  memory_.add(Use::index, static_cast<std::int64_t>(more));
  memory_used_ += more;
  root_.swap(doubled);
  --root_shift_;
  return true;
}

bool Directory::holds(std::uint64_t prefix, unsigned depth, Word word) const {
  const Chapter chapter = chapter_of(prefix);
  if (depth < chapter.depth() || depth > chapter.depth() + chapter_bits) return false;
  const std::size_t run = chapter_size >> (depth - chapter.depth());
  const std::size_t first = chapter.slot(prefix);
  if (first % run != 0) return false;
  return std::all_of(chapter.slots() + first, chapter.slots() + first + run, [word](Word w) { return w == word; });
}

}  // namespace pinfold::store
