#pragma once
// The libraries of functions (FUNCTION LOAD). All I/O threads share one set of them. A change makes another set, and threads that run a
// function of the old one keep it until they have ended.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pinfold/base/text.hpp"
#include "pinfold/command/script_cache.hpp"
#include "pinfold/store/memory.hpp"

namespace pinfold::command {

/// A function of a library. Constant but for what is learned of its keys.
struct Function {
  Function(std::string function_name, std::optional<std::string> function_description, std::uint8_t function_flags)
      : name(std::move(function_name)), description(std::move(function_description)), flags(function_flags) {}

  const std::string name;
  const std::optional<std::string> description;
  const std::uint8_t flags;  // script::Flag
  mutable KeyHabit habit;
};

/// A library. Constant, so any thread may use it.
struct FunctionLibrary {
  std::string name;
  std::string code;       // as it was sent, with its first line
  std::size_t start = 0;  // of the code behind the first line: the place of its line break
  std::vector<std::unique_ptr<const Function>> functions;

  /// The memory that is counted for it.
  std::size_t memory() const;
};

/// All libraries at one time. Constant.
class LibrarySet {
 public:
  struct Found {
    std::shared_ptr<const FunctionLibrary> library;
    const Function* function = nullptr;
  };

  /// By their names.
  const std::map<std::string, std::shared_ptr<const FunctionLibrary>, std::less<>>& libraries() const { return libraries_; }
  /// Null if there is no such function. O(1).
  const Found* find(std::string_view function) const;
  std::size_t function_count() const { return functions_.size(); }
  std::size_t memory() const { return memory_; }

  /// Adds a library. With `replace`, it takes the place of one of its name. Returns Redis' error, and changes nothing then.
  std::string add(std::shared_ptr<const FunctionLibrary> library, bool replace);
  /// Returns whether there was one.
  bool remove(std::string_view library);

 private:
  // As in Redis, functions are found whatever the case of the letters, and libraries are not.
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string>()(to_lower(text)); }
  };
  struct Same {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const { return iequals(a, b); }
  };

  std::map<std::string, std::shared_ptr<const FunctionLibrary>, std::less<>> libraries_;
  std::unordered_map<std::string, Found, Hash, Same> functions_;
  std::size_t memory_ = 0;
};

/// The first line of a library: "#!lua name=mylib". Puts what it says, and the code, into `library`. Returns the text of Redis' error, or
/// an empty one.
std::string read_library_header(std::string_view code, FunctionLibrary& library);

/// The libraries in the form of FUNCTION DUMP: a text of its own with a version and a checksum, which no other server reads.
std::string dump_libraries(const LibrarySet& set);
/// The codes of the libraries in such a text; nothing if it is not one. They refer to `payload`.
std::optional<std::vector<std::string_view>> codes_in_dump(std::string_view payload);

/// The present set. Thread-safe.
class FunctionLibraries {
 public:
  explicit FunctionLibraries(store::Memory& memory) : memory_(memory), set_(std::make_shared<LibrarySet>()) {}

  std::shared_ptr<const LibrarySet> get() const {
    const std::lock_guard lock(mutex_);
    return set_;
  }
  /// Changes with each change of the set. Costs one relaxed load.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }
  /// Puts `changed` in the place of `present`. Returns false if another thread has changed the set meanwhile: then nothing is done.
  bool publish(const std::shared_ptr<const LibrarySet>& present, std::shared_ptr<const LibrarySet> changed);

 private:
  store::Memory& memory_;
  mutable std::mutex mutex_;
  std::shared_ptr<const LibrarySet> set_;  // guarded by mutex_
  std::atomic<std::uint64_t> version_{1};
};

}  // namespace pinfold::command
