#pragma once
// Arguments that have arrived in blocks of their own, because they are large. A handler can store such a block as it is.

#include <cstddef>
#include <cstdint>
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
  /// Why the request is refused: for the first of the arguments that were not kept.
  enum class Refusal : std::uint8_t {
    none,
    no_room,   // there was no room for it
    no_value,  // it cannot become a value of the client's user, and is too large to be kept as anything else
  };
  /// Marks the request as refused, if it is not yet. The arguments that have arrived stay, because the request is still parsed and checked.
  void refuse(Refusal reason) {
    if (!refused()) refusal_ = reason;
  }
  bool refused() const { return refusal_ != Refusal::none; }
  Refusal refusal() const { return refusal_; }

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
  Refusal refusal_ = Refusal::none;
};

}  // namespace pinfold::command
