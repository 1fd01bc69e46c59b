#pragma once
// The names under which tags are kept. An entry has two kinds of them: tags that its writer has named, and dependencies, which are keys.
// An entry that depends on a key was built from the value there: it goes when the key is invalidated with CASCADE. For purges both are the
// same, so a dependency is kept as a tag (Extra::tags) whose name is made of the key. The two kinds share no names:
//
//   name            stands for
//   \0 k <key>      a dependency
//   \0 t <tag>      a tag that begins with a zero byte
//   <tag>           any other tag
//
// The dependencies stand before the tags, in the order of their names and each once. So whether an entry has any is seen at the first name,
// and two sets of them are compared in one pass.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pinfold::store {

/// The longest key in bytes on which an entry can depend.
constexpr std::size_t most_dependency_bytes = 253;

/// The name of a tag. Empty if the name would be longer than most_tag_bytes. An empty tag has none, either.
std::string name_of_tag(std::string_view tag);
/// The name of the dependency on a key. Empty if the key has more than most_dependency_bytes.
std::string name_of_dependency(std::string_view key);
/// The key that a name stands for; nothing if it is that of a tag.
std::optional<std::string_view> dependency_of(std::string_view name);
/// The tag that a name stands for. Only if it is not that of a dependency.
std::string_view tag_of(std::string_view name);

/// Whether an entry with these tags, as Extra keeps them, depends on a key. O(1).
bool has_dependencies(std::string_view encoded);
/// The part of these tags that are dependencies. They stand at its beginning. O(dependencies).
std::string_view dependencies_in(std::string_view encoded);
/// Whether `some` has all dependencies of `of`. Both are tags as Extra keeps them. O(bytes).
bool has_all_dependencies(std::string_view some, std::string_view of);

/// A set of dependencies that is being collected. The views must stay valid until encode() has returned. Not thread-safe.
class Dependencies {
 public:
  /// How many names may be added, and how many bytes, those that are there already included.
  static constexpr std::size_t most_names = 2048;
  static constexpr std::size_t most_bytes = 32 * 1024;

  /// Adds the names of dependencies, and nothing else, from tags as Extra keeps them. Returns false if that is too much. O(bytes).
  bool add(std::string_view encoded);
  /// Adds one name.
  bool add_name(std::string_view name);
  /// The dependencies as Extra keeps them, in order and each once. O(n log n).
  std::string encode();

 private:
  std::string_view last_;  // what was added last: siblings often have the same dependencies
  std::vector<std::string_view> names_;
  std::size_t bytes_ = 0;  // of all that was added
};

}  // namespace pinfold::store
