#include "pinfold/command/function_libraries.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>
#include <utility>

#include <openssl/sha.h>

#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"

namespace pinfold::command {

std::size_t FunctionLibrary::memory() const {
  constexpr std::size_t bookkeeping = 512;
  std::size_t bytes = sizeof(FunctionLibrary) + name.size() + code.size() + bookkeeping;
  for (const auto& function : functions) {
    bytes += sizeof(Function) + 2 * function->name.size() + (function->description ? function->description->size() : 0) + bookkeeping / 2;
  }
  return bytes;
}

const LibrarySet::Found* LibrarySet::find(std::string_view function) const {
  const auto found = functions_.find(function);
  return found != functions_.end() ? &found->second : nullptr;
}

std::string LibrarySet::add(std::shared_ptr<const FunctionLibrary> library, bool replace) {
  const auto before = libraries_.find(library->name);
  if (before != libraries_.end() && !replace) return "ERR Library '" + library->name + "' already exists";
  std::unordered_set<std::string_view, Hash, Same> names;
  for (const auto& function : library->functions) {
    const Found* const other = find(function->name);
    const bool taken = other != nullptr && other->library->name != library->name;
    if (taken || !names.insert(function->name).second) return "ERR Function " + excerpt(function->name) + " already exists";
  }
  remove(library->name);
  for (const auto& function : library->functions) functions_.emplace(function->name, Found{library, function.get()});
  memory_ += library->memory();
  const std::string& name = library->name;
  libraries_.emplace(name, library);
  return {};
}

bool LibrarySet::remove(std::string_view library) {
  const auto found = libraries_.find(library);
  if (found == libraries_.end()) return false;
  for (const auto& function : found->second->functions) functions_.erase(function->name);
  memory_ -= found->second->memory();
  libraries_.erase(found);
  return true;
}

bool FunctionLibraries::publish(const std::shared_ptr<const LibrarySet>& present, std::shared_ptr<const LibrarySet> changed) {
  std::shared_ptr<const LibrarySet> before;  // freed when the mutex is free
  const std::lock_guard lock(mutex_);
  if (set_ != present) return false;
  memory_.add(store::Use::scripts, static_cast<std::int64_t>(changed->memory()) - static_cast<std::int64_t>(set_->memory()));
  before = std::exchange(set_, std::move(changed));
  version_.fetch_add(1, std::memory_order_release);
  return true;
}

namespace {

bool is_name(std::string_view text) {
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; };
  return !text.empty() && std::all_of(text.begin(), text.end(), allowed);
}

std::string_view unquoted(std::string_view word) {
  const bool quoted = word.size() > 1 && (word.front() == '"' || word.front() == '\'') && word.back() == word.front();
  return quoted ? word.substr(1, word.size() - 2) : word;
}

std::string_view take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(word.size());
  return word;
}

}  // namespace

std::string read_library_header(std::string_view code, FunctionLibrary& library) {
  if (!code.starts_with("#!")) return "ERR Missing library metadata";
  const std::size_t end = code.find('\n');
  if (end == std::string_view::npos) return "ERR Invalid library metadata";
  std::string_view line = code.substr(0, end);
  const std::string_view engine = take_word(line).substr(2);
  std::optional<std::string_view> name;
  for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
    constexpr std::string_view prefix = "name=";
    if (word.size() < prefix.size() || !iequals(word.substr(0, prefix.size()), prefix)) {
      return "ERR Invalid metadata value given: " + excerpt(word);
    }
    if (name) return "ERR Invalid metadata value, name argument was given multiple times";
    name = unquoted(word.substr(prefix.size()));
  }
  if (!name) return "ERR Library name was not given";
  if (!is_name(*name)) {
    return "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";
  }
  if (!iequals(engine, "lua")) return "ERR Engine '" + excerpt(engine) + "' not found";
  library.name = *name;
  library.code = code;
  library.start = end;
  return {};
}

namespace {

constexpr std::string_view magic = "PFLIB001";
constexpr std::size_t checksum_size = SHA256_DIGEST_LENGTH;

std::array<char, checksum_size> checksum_of(std::string_view bytes) {
  std::array<unsigned char, checksum_size> hash{};
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), hash.data());
  std::array<char, checksum_size> chars{};
  std::memcpy(chars.data(), hash.data(), hash.size());
  return chars;
}

}  // namespace

// The magic, which is the version as well; for each library the length of its code in four bytes, lowest first, and the code; the SHA-256
// of all that.
std::string dump_libraries(const LibrarySet& set) {
  std::string text(magic);
  for (const auto& [name, library] : set.libraries()) {
    for (unsigned shift = 0; shift < 32; shift += 8) text.push_back(static_cast<char>(library->code.size() >> shift & 255));
    text += library->code;
  }
  const auto checksum = checksum_of(text);
  return text.append(checksum.data(), checksum.size());
}

std::optional<std::vector<std::string_view>> codes_in_dump(std::string_view payload) {
  if (payload.size() < magic.size() + checksum_size || !payload.starts_with(magic)) return std::nullopt;
  std::string_view left = payload.substr(0, payload.size() - checksum_size);
  const auto checksum = checksum_of(left);
  if (payload.substr(left.size()) != std::string_view(checksum.data(), checksum.size())) return std::nullopt;
  left.remove_prefix(magic.size());
  std::vector<std::string_view> codes;
  while (!left.empty()) {
    constexpr std::size_t header = 4;
    if (left.size() < header) return std::nullopt;
    std::size_t size = 0;
    for (unsigned i = 0; i < header; ++i) size |= static_cast<std::size_t>(static_cast<unsigned char>(left[i])) << (8 * i);
    left.remove_prefix(header);
    if (size > left.size()) return std::nullopt;
    codes.push_back(left.substr(0, size));
    left.remove_prefix(size);
  }
  return codes;
}

}  // namespace pinfold::command
