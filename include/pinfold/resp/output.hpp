#pragma once
// Bytes on their way to a client: text in one growing buffer, with shared blobs cut in between.
// Not thread-safe; each I/O thread has one for the command at hand, each connection one for what is left over.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/base/blob.hpp"

namespace pinfold::resp {

class Output {
 public:
  /// Room for `size` more bytes of text; write there, then commit() what was used.
  char* reserve(std::size_t size) {
    if (capacity_ - size_ < size) grow(size);
    return text_.get() + size_;
  }
  void commit(const char* end) { size_ = static_cast<std::size_t>(end - text_.get()); }

  void append(std::string_view bytes) {
    char* to = reserve(bytes.size());
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    size_ += bytes.size();
  }
  /// Sends the bytes of `blob` at this place without copying them.
  void append(Blob blob) { append(std::move(blob), 0); }

  /// Bytes waiting, blobs included.
  std::size_t size() const { return size_ + blob_bytes_; }
  bool empty() const { return size() == 0; }
  /// What the buffer itself occupies. Blobs are data, whoever holds them.
  std::size_t memory() const { return capacity_ + blobs_.capacity() * sizeof(Cut); }
  /// Bytes of all blobs that it holds, those parts included that are not to be sent (any more).
  std::size_t held_bytes() const { return held_bytes_; }
  /// Those that no store keeps any more.
  std::size_t abandoned_bytes() const;

  /// Bytes of text, and of everything, beyond which all is dropped and overflowed() says so: a reply may be larger than
  /// memory.
  void set_caps(std::size_t text, std::size_t all) {
    text_cap_ = text;
    cap_ = all;
  }
  bool overflowed() const { return overflowed_; }

  /// Where a later truncate() may cut back to, to take back what was written since.
  std::size_t mark() const { return size_; }
  void truncate(std::size_t mark);
  /// Forgets everything; gives the buffer back if it has grown past `keep`.
  void clear(std::size_t keep);

  /// A run of bytes to send. `blob` is set if the run lies in one.
  struct Run {
    std::string_view bytes;
    const Blob* blob;
  };
  /// The runs from byte `skip` on, at most `limit`, written to `runs`; returns how many.
  std::size_t gather(std::size_t skip, Run* runs, std::size_t limit) const;

  /// Takes over everything in `other` from byte `skip` on, which is then empty. Copies text, and of blobs no more than
  /// the last bytes, to let go of them.
  void move_from(Output& other, std::size_t skip);

 private:
  struct Cut {
    std::size_t at;  // text bytes before the blob
    Blob blob;
    std::size_t skip;  // bytes of the blob that are not meant
    std::string_view bytes() const { return blob.view().substr(skip); }
  };
  struct Free {
    void operator()(char* text) const { std::free(text); }
  };
  void append(Blob blob, std::size_t skip);
  void grow(std::size_t size);
  void overflow();

  std::unique_ptr<char[], Free> text_;  // of malloc, so that it can grow without being copied
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::size_t blob_bytes_ = 0;  // to be sent
  std::size_t held_bytes_ = 0;
  std::size_t text_cap_ = SIZE_MAX;
  std::size_t cap_ = SIZE_MAX;
  bool overflowed_ = false;
  std::vector<Cut> blobs_;
};

}  // namespace pinfold::resp
