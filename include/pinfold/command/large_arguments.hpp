#pragma once
// Arguments that came in blocks of their own, because they are large: a handler can store such a block as it is.

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
  /// Of all that have come and not been taken.
  std::size_t bytes() const { return bytes_; }

  /// Adds the argument at `index` of the request.
  void add(std::size_t index, Blob blob);
  /// There was no room for one of them: the request is to be refused. Those that have come stay, because the request is
  /// still looked at.
  void refuse() { refused_ = true; }
  bool refused() const { return refused_; }

  /// Another reference to the block of the argument at `index`, for the store to keep; an empty Blob if it did not come in one.
  /// The argument itself can be read until the request ends. O(log of the count).
  Blob take(std::size_t index);
  /// Another reference to that block, in the same way: for a reply that repeats the argument.
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
