#pragma once
// Bytes on their way to a client: text in one growing buffer, with parts of shared blobs cut in between.
//
// What has been sent is forgotten from the front (consume), so that no step starts at the beginning again: sending N runs takes
// O(N) steps, however small the pieces are that the socket takes.
// An account is asked before the buffer grows. A reply that it does not allow, or that is larger than the cap, overflows: the output
// goes back to where that reply began and takes no more of it, and what was there before stays.
// Not thread-safe; each I/O thread has one for short replies that go out together and the command at hand, each connection one for
// what is left over.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/uio.h>

#include "pinfold/base/blob.hpp"

namespace pinfold::resp {

class Output {
 public:
  /// Who is asked before an output takes more memory.
  class Account {
   public:
    /// Whether the output may occupy `bytes` in all.
    virtual bool allows(std::size_t bytes) = 0;

   protected:
    ~Account() = default;
  };
  enum class Overflow : std::uint8_t { none, account, cap };

  /// reserve() gives room for this many bytes whatever the account says.
  static constexpr std::size_t least_room = 8 * 1024;

  /// Room for `size` more bytes of text, `least_room` at most; write there, then commit() what was used.
  char* reserve(std::size_t size) {
    if (!fits(size)) [[unlikely]]
      grow(size);
    return text_.get() + size_;
  }
  void commit(const char* end) { size_ = static_cast<std::size_t>(end - text_.get()); }

  void append(std::string_view bytes) {
    if (!fits(bytes.size())) [[unlikely]] {
      if (!grow(bytes.size())) return;
    }
    if (!bytes.empty()) std::memcpy(text_.get() + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
  }
  /// Sends the bytes of `blob` at this place without copying them.
  void append(Blob blob);
  /// A part of them. A short part of a large blob is copied, so that it does not keep the whole.
  void append(Blob blob, std::size_t skip, std::size_t length);

  /// Bytes waiting, blobs included.
  std::size_t size() const { return size_ - text_sent_ + blob_bytes_; }
  bool empty() const { return size() == 0; }
  /// Whether no blob is among them.
  bool is_text() const { return blob_bytes_ == 0; }
  /// The first `count` of them, where no blob is among those. Valid until the output changes.
  std::string_view text(std::size_t count) const { return {text_.get() + text_sent_, count}; }
  /// What the buffer itself occupies. Blobs are data, whoever holds them.
  std::size_t memory() const { return capacity_ + cuts_.capacity() * sizeof(Cut); }
  /// Bytes of all blobs that it holds, those parts included that are not to be sent (any more).
  std::size_t held_bytes() const { return held_bytes_; }
  /// Bytes of those that no store keeps any more, among the next 512 blobs: each call looks on where the last one ended.
  std::size_t abandoned_bytes();

  /// Null: nobody is asked.
  void set_account(Account* account) { account_ = account; }
  /// A reply begins. `cap`: bytes of everything that waits, blobs included, beyond which it overflows.
  void begin_reply(std::size_t cap) {
    cap_ = cap;
    reply_ = size_;
  }
  /// Why the reply is not there as a whole.
  Overflow overflow() const { return overflow_; }

  /// Where a later truncate() may cut back to, to take back what was written since: only bytes before it may be
  /// consumed in between, and nothing cleared.
  std::size_t mark() const { return size_; }
  /// A reply that is taken back as a whole has not overflowed.
  void truncate(std::size_t mark);
  /// Takes back the reply that has begun, and gives its memory back.
  void take_back_reply();
  /// Forgets everything; gives the buffer back if it has grown past `keep`, and the places of blobs if there were many.
  void clear(std::size_t keep);
  /// Whether clear() would give memory back.
  bool has_grown(std::size_t keep) const { return capacity_ > keep || cuts_.capacity() > kept_cuts; }

  /// The first runs of bytes to send, at most `limit`, written to `runs`; returns how many. Valid until the output changes.
  std::size_t gather(iovec* runs, std::size_t limit) const;
  /// The first `count` bytes have been sent. Lets go of their blobs.
  void consume(std::size_t count);
  /// Gives back the memory of what was consumed, once that is most of it.
  void compact();

  /// Takes over everything in `other`, which is then empty. Copies text, for which the account is asked, if there is one; a blob of which
  /// only the last bytes are left is copied as well, to let go of it.
  void move_from(Output& other);

 private:
  static constexpr std::size_t kept_cuts = 256;
  struct Cut {
    std::size_t at;  // text bytes before the blob
    Blob blob;
    std::size_t skip;  // the part that is meant
    std::size_t length;
    std::string_view bytes() const { return blob.view().substr(skip, length); }
  };
  struct Free {
    void operator()(char* text) const { std::free(text); }
  };
  // After an overflow end_ lies at or before size_: the difference is signed.
  bool fits(std::size_t size) const { return static_cast<std::ptrdiff_t>(end_ - size_) >= static_cast<std::ptrdiff_t>(size); }
  bool grow(std::size_t size);
  bool enlarge(std::size_t size);
  bool allowed(std::size_t capacity, std::size_t cuts) const;
  void add_cut(std::size_t at, Blob blob, std::size_t skip, std::size_t length);
  bool room_for_cut();
  void drop_cuts_from(std::size_t mark);
  void give_up(Overflow why);
  void resize_text(std::size_t capacity);
  void forget_sent();

  std::unique_ptr<char[], Free> text_;  // of malloc, so that it can grow without being copied
  std::size_t size_ = 0;
  std::size_t end_ = 0;  // how far text may be written: the capacity, or after an overflow the reply's beginning
  std::size_t capacity_ = 0;
  std::size_t text_sent_ = 0;
  std::size_t blob_sent_ = 0;   // of the first cut
  std::size_t blob_bytes_ = 0;  // to be sent
  std::size_t held_bytes_ = 0;
  std::size_t reply_ = 0;  // where the reply at hand began
  std::size_t cap_ = SIZE_MAX;
  Account* account_ = nullptr;
  Overflow overflow_ = Overflow::none;
  std::size_t first_ = 0;  // of the cuts: those before were sent and hold no blob
  std::size_t look_ = 0;   // where abandoned_bytes() goes on
  std::vector<Cut> cuts_;
};

}  // namespace pinfold::resp
