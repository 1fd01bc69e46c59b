#pragma once
// Arguments that have arrived in blocks of their own, because they are large. A handler can store such a block as it is.

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/base/blob.hpp"

namespace pinfold::command {

/// The large arguments of one request, in order.
class LargeArguments {
 public:
  std::size_t count() const { return arguments_.size(); }
  std::size_t index(std::size_t n) const { return arguments_[n].index; }
  std::string_view view(std::size_t n) const { return view_of(arguments_[n].blob); }
  /// The bytes of all arguments that have arrived and were not taken.
  std::size_t bytes() const { return bytes_; }

  /// Adds the argument at `index` of the request.
  void add(std::size_t index, Blob blob);
  /// Marks the request as refused, because there was no room for one of the arguments. Those that have arrived stay, because
  /// the request is still parsed and checked.
  void refuse() { refused_ = true; }
  bool refused() const { return refused_; }

  /// Returns a reference to the block of the argument at `index`, for the store to keep, or an empty Blob if it has no block. The
  /// argument can still be read until the request ends. O(log of the count).
  Blob take(std::size_t index);
  /// The same for a reply that repeats the argument, which does not count as taken.
  Blob share(std::size_t index) const;

 private:
  struct Argument {
    std::size_t index;
    Blob blob;
    bool taken = false;
  };
  static std::string_view view_of(const Blob& blob) { return blob ? blob.view() : std::string_view{}; }

  std::vector<Argument> arguments_;
  std::size_t bytes_ = 0;
  bool refused_ = false;
};

}  // namespace pinfold::command
