#include <atomic>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "pinfold/base/blob.hpp"
#include "pinfold/base/work.hpp"

using namespace pinfold;

namespace {

// A sanitizer has shadow memory for all memory of the program, under tsan four times as much, and writing to it takes time.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif
constexpr std::size_t largest_value = (sanitized ? 32 : 512) * BlockHeap::own_mapping;

// Reads a field of a /proc file that is in kB, and returns it in bytes. smaps_rollup walks the page tables. statm and status would
// read counters that the kernel sums only now and then.
std::int64_t process_figure(const char* path, const std::string& field) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, field.size(), field) == 0) return std::stoll(line.substr(field.size())) * 1024;
  }
  FAIL("no " << field << " in " << path);
  return 0;
}

std::int64_t resident() { return process_figure("/proc/self/smaps_rollup", "Rss:"); }

// Catch makes a string of all that a char* in an assertion points to, and that memory would be measured too.
void require(bool holds, const char* what) {
  if (!holds) FAIL(what);
}

struct Block {
  char* data;
  std::size_t size;
  char mark;
  bool intact() const { return data[0] == mark && data[size / 2] == mark && data[size - 1] == mark; }
};

std::size_t some_size(std::mt19937_64& random) {
  switch (random() % 8) {
    case 0:
      return 1 + random() % 3000;
    case 1:
      return 200'000 + random() % 800'000;
    case 2:
      return BlockHeap::own_mapping + random() % (6 * 1024 * 1024);
    default:
      return 16'000 + random() % 60'000;
  }
}

}  // namespace

TEST_CASE("blocks keep their bytes and do not overlap, and the account equals the resident memory", "[one-thread]") {
  const auto seed = static_cast<unsigned>(std::random_device{}());
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  std::atomic<std::int64_t> account{0};
  BlockHeap heap([&](std::int64_t bytes) { account += bytes; });
  std::vector<Block> blocks;
  std::int64_t live = 0;
  const std::int64_t before = resident();
  for (int i = 0; i < 6000; ++i) {
    // The sizes and the fill level change with time, as in a cache.
    const std::int64_t most = (i / 1500 % 2 == 0 ? 150 : 40) * 1024 * 1024 / (sanitized ? 5 : 1);
    if (live < most && random() % 3 != 0) {
      Block block{nullptr, some_size(random), static_cast<char>(random())};
      block.data = heap.allocate(block.size);
      require(block.data != nullptr, "no memory");
      block.size = BlockHeap::rounded(block.size);
      std::memset(block.data, block.mark, block.size);
      live += static_cast<std::int64_t>(block.size);
      blocks.push_back(block);
    } else if (!blocks.empty()) {
      const std::size_t at = random() % blocks.size();
      Block& block = blocks[at];
      require(block.intact(), "bytes have changed");
      live -= static_cast<std::int64_t>(block.size);
      if (random() % 5 == 0) {
        const std::size_t wanted = block.size + some_size(random);
        block.data = heap.grow(block.data, block.size, wanted);
        require(block.data != nullptr, "no memory");
        require(block.intact(), "bytes have changed");
        block.size = BlockHeap::rounded(wanted);
        std::memset(block.data, block.mark, block.size);
        live += static_cast<std::int64_t>(block.size);
      } else {
        heap.free(block.data, block.size);
        block = blocks.back();
        blocks.pop_back();
      }
    }
    if (i % 500 == 499) {
      while (heap.give_back(BlockHeap::own_mapping)) {
      }
      REQUIRE(account >= live);
      constexpr std::int64_t own = 1024 * 1024;  // memory of the test itself
      INFO("counted as resident " << process_figure("/proc/self/status", "VmRSS:") << ", mapped "
                                  << process_figure("/proc/self/status", "VmSize:"));
      if (!sanitized) CHECK(resident() - before <= account + static_cast<std::int64_t>(BlockHeap::most_spare) + own);
    }
  }
  for (const Block& block : blocks) {
    require(block.intact(), "bytes have changed");
    heap.free(block.data, block.size);
  }
  CHECK(account == 0);
}

TEST_CASE("release_spare gives spare pages back and leaves blocks in use alone") {
  BlockHeap heap([](std::int64_t) {});
  char* kept = heap.allocate(30'000);
  char* freed = heap.allocate(500'000);
  char* above = heap.allocate(30'000);
  REQUIRE((above != nullptr));
  std::memset(kept, 'k', 30'000);
  std::memset(freed, 'f', 500'000);
  std::memset(above, 'a', 30'000);
  heap.free(freed, BlockHeap::rounded(500'000));
  while (heap.release_spare(100'000)) {
  }
  CHECK(kept[29'999] == 'k');
  CHECK(above[0] == 'a');
  freed = heap.allocate(500'000);
  CHECK(freed[250'000] == '\0');  // fresh pages
  heap.free(freed, BlockHeap::rounded(500'000));
}

TEST_CASE("a huge block is given back piece by piece") {
  std::int64_t account = 0;
  BlockHeap heap([&](std::int64_t bytes) { account += bytes; });
  constexpr std::size_t size = 32 * 1024 * 1024;
  char* block = heap.allocate(size);
  REQUIRE((block != nullptr));
  std::memset(block, 1, size);
  heap.free(block, size);
  CHECK(account == 0);
  CHECK(heap.has_news());
  CHECK_FALSE(heap.has_news());
  CHECK(heap.noted() == size);
  CHECK(heap.give_back(4 * 1024 * 1024));
  CHECK(heap.noted() == size - 4 * 1024 * 1024);
  while (heap.give_back(size)) {
  }
  CHECK(heap.noted() == 0);
}

TEST_CASE("freeing a block takes no system call, and freed blocks are given back in the order in which they were freed") {
  BlockHeap heap([](std::int64_t) {});
  std::vector<Block> blocks;
  for (const std::size_t size : {2UL << 20, 500'000UL, 700'000UL, 900'000UL, 40UL << 20, 20'000UL, 3UL << 20}) {
    blocks.push_back({heap.allocate(size), BlockHeap::rounded(size), 'b'});
    std::memset(blocks.back().data, 'b', size);
  }
  {
    const work::Counting counting;
    for (const Block& block : blocks) heap.free(block.data, block.size);
    CHECK(counting.counts().system_calls == 0);
    CHECK(counting.counts().bytes == 0);
  }
  const std::uint64_t last = heap.last_noted();
  CHECK_FALSE(heap.given_back(1));
  // Blocks that are freed later do not delay those that were freed before.
  for (int i = 0; i < 200 && !heap.given_back(last); ++i) {
    constexpr std::size_t churn = 4UL << 20;
    heap.free(heap.allocate(churn), churn);
    heap.give_back(churn);
  }
  CHECK(heap.given_back(last));
  CHECK(heap.noted() > 0);
}

TEST_CASE("a blob keeps its bytes and grows by zeros, whatever the memory held before") {
  BlockHeap heap([](std::int64_t) {});
  {
    Blob dirty = Blob::allocate(heap, 900'000, 900'000);
    std::memset(dirty.data(), 'x', 900'000);
  }
  for (const std::size_t start : {10UL, 50'000UL, 3'000'000UL}) {
    Blob blob = Blob::zeroed(heap, start);
    REQUIRE(blob);
    CHECK(blob.view().find_first_not_of('\0') == std::string_view::npos);
    std::memset(blob.data(), 'a', start);
    REQUIRE(blob.resize(start / 2));
    for (const std::size_t size : {start, start * 2, std::size_t{5'000'000}}) {
      if (size < blob.size()) continue;
      REQUIRE(blob.resize(size));
      CHECK(blob.size() == size);
      CHECK(blob.view().substr(0, start / 2).find_first_not_of('a') == std::string_view::npos);
      CHECK(blob.view().substr(start / 2).find_first_not_of('\0') == std::string_view::npos);
    }
  }
}

TEST_CASE("a blob is counted until its last reference is gone") {
  std::int64_t account = 0;
  BlockHeap heap([&](std::int64_t bytes) { account += bytes; });
  Blob first = Blob::copy_of(heap, std::string(20'000, 'v'));
  Blob second = first;
  const std::int64_t one = account;
  CHECK(one >= 20'000);
  first = {};
  CHECK(account == one);
  second = {};
  CHECK(account == 0);
}

TEST_CASE("the bytes of blobs that no entry refers to are counted, however blobs come and go") {
  BlockHeap heap([](std::int64_t) {});
  Blob blob = Blob::allocate(heap, 20'000, 20'000);
  const auto block = static_cast<std::int64_t>(blob.memory());
  CHECK(heap.loose() == block);
  void* const raw = Blob(blob).detach();  // an entry keeps a blob in this form
  Blob::note_stored(raw, 1);
  CHECK(heap.loose() == 0);
  Blob::note_stored(raw, 1);  // a second entry
  Blob::note_stored(raw, -1);
  CHECK(heap.loose() == 0);
  {
    const Blob reply = blob;
    CHECK(heap.loose() == 0);
  }
  Blob::note_stored(raw, -1);
  CHECK(heap.loose() == block);
  static_cast<void>(Blob::attach(raw));
  REQUIRE(blob.reserve(2'000'000));
  CHECK(heap.loose() == static_cast<std::int64_t>(blob.memory()));
  blob = {};
  CHECK(heap.loose() == 0);
}

TEST_CASE("wipe_free overwrites free bytes, and wipe_freed overwrites blocks that are freed while it is on") {
  BlockHeap heap([](std::int64_t) {});
  constexpr std::size_t size = 3 * BlockHeap::unit;  // so that blocks share pages
  std::vector<char*> blocks;
  for (int i = 0; i < 2000; ++i) {
    blocks.push_back(heap.allocate(size));
    std::memset(blocks.back(), 'x', size);
  }
  const auto all = [](const char* block, char byte) {
    for (std::size_t i = 0; i < size; ++i) {
      if (block[i] != byte) return false;
    }
    return true;
  };
  for (std::size_t i = 0; i < blocks.size(); i += 3) heap.free(blocks[i], size);
  require(all(blocks[0], 'x'), "a freed block keeps its bytes, or this test shows nothing");
  heap.wipe_freed(true);
  heap.free(blocks[1], size);
  heap.give_back(size);
  require(all(blocks[1], 0), "freed meanwhile");
  const char* at = nullptr;
  do {
    at = heap.wipe_free(at);
  } while (at != nullptr);
  heap.wipe_freed(false);
  for (std::size_t i = 0; i < blocks.size(); ++i) require(all(blocks[i], i % 3 == 0 || i == 1 ? 0 : 'x'), "free or not");
  for (std::size_t i = 2; i < blocks.size(); ++i) {
    if (i % 3 != 0) heap.free(blocks[i], size);
  }
}

TEST_CASE("the last holder wipes a blob that is to be wiped, and wiping the slack leaves the value alone") {
  BlockHeap heap([](std::int64_t) {});
  const Blob neighbour = Blob::copy_of(heap, std::string(100, 'n'));  // keeps the page in use
  Blob blob = Blob::copy_of(heap, std::string(300, 's'));
  char* const bytes = blob.data();
  Blob held = blob;
  blob.wipe_when_freed();
  blob = {};
  require(held.view() == std::string(300, 's'), "still held");
  held = {};
  heap.give_back(BlockHeap::own_mapping);
  require(std::string(bytes, 300) == std::string(300, '\0'), "wiped");

  Blob longer = Blob::copy_of(heap, std::string(400, 'l'));
  longer.set_size(100);
  const std::size_t slack = longer.capacity() - 100;
  require(longer.wipe_slack(0, 50) == 50, "a piece");
  require(std::string(longer.data() + 100, slack - 50).find('l') != std::string::npos, "its last bytes first");
  require(std::string(longer.data() + 100 + slack - 50, 50) == std::string(50, '\0'), "its last bytes");
  require(longer.wipe_slack(50) == slack - 50, "the rest of the slack");
  require(longer.wipe_slack(slack) == 0, "nothing is left");
  require(longer.view() == std::string(100, 'l'), "the value");
  require(std::string(longer.data() + 100, slack) == std::string(slack, '\0'), "the slack");
}

TEST_CASE("in a heap full of small holes a larger one is found in few steps, wherever the search before ended") {
  BlockHeap heap([](std::int64_t) {});
  constexpr std::size_t small = BlockHeap::unit;
  std::vector<char*> blocks;
  for (int i = 0; i < 40'000; ++i) blocks.push_back(heap.allocate(small));
  for (std::size_t i = 0; i < blocks.size(); i += 2) heap.free(blocks[i], small);
  constexpr std::uint64_t most_nodes = 16;
  for (int i = 0; i < 50; ++i) {
    const work::Counting counting;
    char* const large = heap.allocate(8 * small);
    require(large > blocks.back(), "a hole of another size was given");
    heap.free(heap.allocate(small), small);
    if (counting.counts().nodes > 2 * most_nodes) FAIL(counting.counts().nodes << " nodes");
    if (i % 2 == 0) heap.free(large, 8 * small);
  }
}

TEST_CASE("allocating a block takes no system call while a reservation is ready, and growing one of a megabyte or more takes none") {
  BlockHeap heap([](std::int64_t) {});
  heap.prepare();
  std::vector<char*> blocks;
  {
    const work::Counting counting;
    constexpr std::size_t size = 900 * 1024;
    for (int i = 0; i < 70; ++i) blocks.push_back(heap.allocate(size));
    CHECK(counting.counts().system_calls == 0);
    for (char* block : blocks) heap.free(block, size);
    CHECK(counting.counts().system_calls == 0);
  }
  CHECK(heap.has_news());
  Blob value = Blob::zeroed(heap, 2 * BlockHeap::own_mapping);
  [[maybe_unused]] const char* const before = value.data();  // under tsan a mapping moves when it grows
  value.data()[100] = 'v';
  {
    const work::Counting counting;
    for (std::size_t size = value.size(); size < largest_value; size += size / 4) REQUIRE(value.resize(size));
    CHECK(counting.counts().bytes == 0);
#ifndef __SANITIZE_THREAD__
    CHECK(counting.counts().system_calls == 0);
    CHECK((value.data() == before));
#endif
  }
  REQUIRE(value.resize(BlockHeap::range_size + BlockHeap::own_mapping));  // the block may have to move
  CHECK(value.data()[100] == 'v');
}
