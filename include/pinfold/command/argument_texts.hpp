#pragma once
// The arguments of a command as texts to be put into a collection.

#include <cstddef>

#include "pinfold/command/call.hpp"
#include "pinfold/command/many_elements.hpp"
#include "pinfold/types/texts.hpp"

namespace pinfold::command {

/// The arguments from `first` on, or `count` of them. Refers to the call.
class ArgumentTexts final : public types::Texts {
 public:
  ArgumentTexts(Call& call, std::size_t first) : Texts(call.args.subspan(first)), call_(call), first_(first) {}
  ArgumentTexts(Call& call, const ElementSlice& slice)
      : Texts(call.args.subspan(slice.first, slice.count), slice.announced), call_(call), first_(slice.first) {}
  ArgumentTexts(Call& call, std::size_t first, std::size_t count) : Texts(call.args.subspan(first, count)), call_(call), first_(first) {}

 private:
  Blob received(std::size_t at, bool take) const override {
    if (take) return call_.take_blob(first_ + at);
    return call_.large != nullptr ? call_.large->share(first_ + at) : Blob();
  }

  Call& call_;
  const std::size_t first_;
};

}  // namespace pinfold::command
