#pragma once
// Bytes on their way to a client: text in one growing buffer, and between pieces of text the parts of shared blobs.
//
// consume() forgets from the front what has been sent, so no step starts at the beginning again: sending N runs takes O(N) steps,
// however small the pieces are that the socket takes.
//
// An account is asked before the buffer grows. A reply overflows if the account refuses it or if it is larger than the cap. The output
// then goes back to where that reply began, keeps what was there before, and ignores the rest of the reply.
//
// Not thread-safe. Each I/O thread has an output for the present command and for short replies that are sent together. Each connection
// has one for what its socket has not taken yet.

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
  /// Is asked before an output takes more memory.
  class Account {
   public:
    /// Whether the output may take `bytes` in all.
    virtual bool allows(std::size_t bytes) = 0;

   protected:
    ~Account() = default;
  };
  enum class Overflow : std::uint8_t { none, account, cap };

  /// reserve() has room for this many bytes even if the account refuses them.
  static constexpr std::size_t least_room = 8 * 1024;

  /// Returns room for `size` more bytes of text, at most `least_room`. The caller writes there and then commits what it has used.
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
  /// Appends the bytes of `blob` without copying them.
  void append(Blob blob);
  /// Appends a part of the blob. A short part of a large blob is copied, so that it does not keep all of the blob.
  void append(Blob blob, std::size_t skip, std::size_t length);

  /// Bytes that wait to be sent, blobs included.
  std::size_t size() const { return size_ - text_sent_ + blob_bytes_; }
  bool empty() const { return size() == 0; }
  /// Whether no blob waits to be sent.
  bool is_text() const { return blob_bytes_ == 0; }
  /// The first `count` bytes that wait, if these are all text. Valid until the output changes.
  std::string_view text(std::size_t count) const { return {text_.get() + text_sent_, count}; }
  /// The memory that the buffer itself takes. Blobs are not included: they count as data.
  std::size_t memory() const { return capacity_ + cuts_.capacity() * sizeof(Cut); }
  /// Bytes of all blobs that it refers to, as a whole: with parts that are not to be sent or have been sent.
  std::size_t held_bytes() const { return held_bytes_; }
  /// Bytes of abandoned blobs, which no entry refers to any more, among the next 512 blobs. Each call goes on where the last one ended.
  std::size_t abandoned_bytes();

  /// With null, no account is asked.
  void set_account(Account* account) { account_ = account; }
  /// Begins a reply. It overflows if all that waits, blobs included, becomes more than `cap` bytes.
  void begin_reply(std::size_t cap) {
    cap_ = cap;
    reply_ = size_;
  }
  /// The bytes of the present reply, blobs included, if none of them was sent. O(its blobs).
  std::size_t reply_size() const {
    std::size_t bytes = size_ - reply_;
    for (std::size_t i = cuts_.size(); i > first_ && cuts_[i - 1].at >= reply_; --i) bytes += cuts_[i - 1].length;
    return bytes;
  }
  /// Whether the present reply is an error, if none of it was sent.
  bool replies_error() const { return size_ > reply_ && text_[reply_] == '-'; }
  /// Why the present reply is not complete, or `none`.
  Overflow overflow() const { return overflow_; }

  /// A place for a later truncate(), which takes back what was written since. In between, only bytes before the mark may be
  /// consumed, and clear() must not be called.
  std::size_t mark() const { return size_; }
  /// Takes back everything written since the mark. If that is all of the present reply, its overflow is forgotten.
  void truncate(std::size_t mark);
  /// Takes back the present reply and gives its memory back.
  void take_back_reply();
  /// Forgets everything. Gives the buffer back if it has grown past `keep` bytes, and the list of blobs if it was long.
  void clear(std::size_t keep);
  /// Whether clear() would give memory back.
  bool has_grown(std::size_t keep) const { return capacity_ > keep || cuts_.capacity() > kept_cuts; }

  /// Writes the first runs of bytes to send to `runs`, at most `limit` of them, and returns how many. Valid until the output changes.
  std::size_t gather(iovec* runs, std::size_t limit) const;
  /// Forgets the first `count` bytes, which have been sent, and releases their blobs.
  void consume(std::size_t count);
  /// Gives back the memory of consumed bytes if they are most of the buffer.
  void compact();

  /// Appends everything that waits in `other`, which is then empty. Text is copied, and the account is asked for it. If only a short rest
  /// of the first blob is left, it is copied as well, so that the blob can be released.
  void move_from(Output& other);

 private:
  static constexpr std::size_t kept_cuts = 256;
  struct Cut {
    std::size_t at;  // bytes of text before the blob
    Blob blob;
    std::size_t skip;    // bytes of the blob before the part to send
    std::size_t length;  // bytes of that part
    std::string_view bytes() const { return blob.view().substr(skip, length); }
  };
  struct Free {
    void operator()(char* text) const { std::free(text); }
  };
  // The difference is signed, because end_ lies at or before size_ after an overflow.
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

  std::unique_ptr<char[], Free> text_;  // from malloc, so that realloc() can grow it without a copy
  std::size_t size_ = 0;
  std::size_t end_ = 0;  // text may be written up to here: the capacity, or after an overflow the beginning of the reply
  std::size_t capacity_ = 0;
  std::size_t text_sent_ = 0;
  std::size_t blob_sent_ = 0;   // bytes of the first cut that were sent
  std::size_t blob_bytes_ = 0;  // bytes of blobs that are still to be sent
  std::size_t held_bytes_ = 0;
  std::size_t reply_ = 0;  // where the present reply began
  std::size_t cap_ = SIZE_MAX;
  Account* account_ = nullptr;
  Overflow overflow_ = Overflow::none;
  std::size_t first_ = 0;  // the first cut that is not sent; the cuts before it hold no blob
  std::size_t look_ = 0;   // where abandoned_bytes() goes on
  std::vector<Cut> cuts_;
};

}  // namespace pinfold::resp
