#include "pinfold/store/tag_names.hpp"

#include <algorithm>

#include "pinfold/base/work.hpp"
#include "pinfold/store/extra.hpp"

namespace pinfold::store {

namespace {

constexpr char own = '\0';  // the first byte of names that are no tags as their writers have named them
constexpr char of_key = 'k';
constexpr char of_tag = 't';
constexpr std::size_t head = 2;
static_assert(most_dependency_bytes + head == most_tag_bytes);

std::string own_name(char kind, std::string_view text) {
  if (text.size() + head > most_tag_bytes) return {};
  std::string name{own, kind};
  name.append(text);
  return name;
}

// Goes through encoded tags.
class Reader {
 public:
  explicit Reader(std::string_view encoded) : encoded_(encoded) {}
  bool done() const { return at_ >= encoded_.size(); }
  std::size_t position() const { return at_; }
  std::string_view name() const { return encoded_.substr(at_ + 1, static_cast<unsigned char>(encoded_[at_])); }
  /// Whether the name is that of a dependency.
  bool at_dependency() const { return !done() && dependency_of(name()).has_value(); }
  void next() { at_ += 1 + static_cast<unsigned char>(encoded_[at_]); }

 private:
  std::string_view encoded_;
  std::size_t at_ = 0;
};

}  // namespace

std::string name_of_tag(std::string_view tag) {
  if (!tag.empty() && tag.front() == own) return own_name(of_tag, tag);
  return tag.size() <= most_tag_bytes ? std::string(tag) : std::string();
}

std::string name_of_dependency(std::string_view key) { return own_name(of_key, key); }

std::optional<std::string_view> dependency_of(std::string_view name) {
  if (name.size() < head || name[0] != own || name[1] != of_key) return std::nullopt;
  return name.substr(head);
}

std::string_view tag_of(std::string_view name) { return !name.empty() && name.front() == own ? name.substr(head) : name; }

bool has_dependencies(std::string_view encoded) { return !encoded.empty() && Reader(encoded).at_dependency(); }

std::string_view dependencies_in(std::string_view encoded) {
  Reader reader(encoded);
  while (reader.at_dependency()) reader.next();
  return encoded.substr(0, reader.position());
}

bool has_all_dependencies(std::string_view some, std::string_view of) {
  Reader wanted(of);
  Reader there(some);
  for (; wanted.at_dependency(); wanted.next()) {
    while (there.at_dependency() && there.name() < wanted.name()) there.next();
    if (!there.at_dependency() || there.name() != wanted.name()) return false;
  }
  return true;
}

bool Dependencies::add(std::string_view encoded) {
  if (encoded == last_) return true;
  last_ = encoded;
  for (Reader reader(encoded); reader.at_dependency(); reader.next()) {
    if (!add_name(reader.name())) return false;
  }
  return true;
}

bool Dependencies::add_name(std::string_view name) {
  bytes_ += 1 + name.size();
  if (names_.size() == most_names || bytes_ > most_bytes) return false;
  names_.push_back(name);
  return true;
}

std::string Dependencies::encode() {
  constexpr std::size_t step = 4;  // of sorting, in bytes compared
  work::bytes(bytes_ + step * names_.size());
  std::sort(names_.begin(), names_.end());
  names_.erase(std::unique(names_.begin(), names_.end()), names_.end());
  std::string encoded;
  for (const std::string_view name : names_) {
    encoded.push_back(static_cast<char>(name.size()));
    encoded.append(name);
  }
  return encoded;
}

}  // namespace pinfold::store
