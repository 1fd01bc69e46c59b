#pragma once
// The texts of a write: what a request wants to put into a collection.

#include <cstddef>
#include <span>
#include <string_view>

#include "pinfold/base/blob.hpp"
#include "pinfold/store/element.hpp"

namespace pinfold::types {

/// Texts, of which long ones may have been received in blocks of their own. A view: what it refers to must outlive it. Not thread-safe.
class Texts {
 public:
  explicit Texts(std::span<const std::string_view> texts) : Texts(texts, texts.size()) {}
  virtual ~Texts() = default;
  Texts(const Texts&) = delete;
  Texts& operator=(const Texts&) = delete;

  std::size_t size() const { return texts_.size(); }
  /// How many texts the request adds, of which these may be a part. What OBJECT ENCODING calls a collection depends on it.
  std::size_t announced() const { return announced_; }
  std::string_view operator[](std::size_t at) const { return texts_[at]; }
  /// The block in which the text has been received, so that it can be stored without a copy; empty if there is none.
  Blob block(std::size_t at) const { return texts_[at].size() > store::most_inline_element ? received(at, true) : Blob(); }

  /// What a collection needs for some of the texts, in bytes.
  struct Need {
    std::size_t packed = 0;    // of their packed forms
    std::size_t blocks = 0;    // of the blocks that have to be made for them
    std::size_t received = 0;  // of the blocks that are there
    bool inline_only = true;   // none needs a block
  };
  /// For the texts from `first` on. O(texts).
  Need need(std::size_t first = 0) const;
  /// Whether one of the texts is longer than `bytes`. O(texts).
  bool any_longer_than(std::size_t bytes) const;

 protected:
  Texts(std::span<const std::string_view> texts, std::size_t announced) : texts_(texts), announced_(announced) {}

 private:
  // The block of a long text. `take`: it is going to be stored.
  virtual Blob received(std::size_t /*at*/, bool /*take*/) const { return {}; }

  std::span<const std::string_view> texts_;
  std::size_t announced_;
};

}  // namespace pinfold::types
