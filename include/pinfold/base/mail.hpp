#pragma once
// Mail: what is on its way to clients of an I/O thread. The thread itself finds out which of its clients get it, so a sender does the same
// work however many these are.
//
// Each thread has a mailbox (net/mailbox.hpp), which hands mail out in the order in which it came. The pieces of mail in a mailbox are
// numbered. So code that runs on the thread can tell whether a piece was sent before something that it did itself: mail with a number below
// ClientThreads::mail_number() was sent before the call.

#include <cstdint>
#include <string_view>

#include "pinfold/base/blob.hpp"

namespace pinfold {

/// The bytes of a message to a client that is no reply, in up to four parts. Views that are valid during a call.
struct PushText {
  /// Begins with '>'. A client with RESP2 gets a '*' in its place. Empty if `text` is the same for both protocols.
  std::string_view head = {};
  std::string_view text = {};
  const Blob* blob = nullptr;  // sent without a copy
  std::string_view end = {};
  std::size_t size() const { return head.size() + text.size() + (blob != nullptr ? blob->size() : 0) + end.size(); }
};

/// A client that can be pushed to. Used by its I/O thread only, with nothing locked.
class PushReceiver {
 public:
  /// Sends the bytes between two replies. They count for the limits of the client's output; a client beyond its limit is closed, and a
  /// client that is being closed gets nothing. The calls for one client take effect in their order. A client for which there is no memory
  /// is closed.
  virtual void push(const PushText& text) noexcept = 0;

 protected:
  ~PushReceiver() = default;
};

/// A piece of mail. Constant, and shared by the threads that it goes to. Destroyed by the last of them, with nothing locked.
class Mail {
 public:
  /// How far a piece was handed out on one thread. What the numbers mean is the mail's own affair. They begin as 0.
  struct Progress {
    std::uint64_t number = 0;  // of the piece in the thread's mailbox
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    std::uint64_t third = 0;
  };

  virtual ~Mail() = default;
  /// Called on the thread with this index, with nothing locked, until it returns true: then all of its clients have what is for them.
  /// Stops when `left` is 0. Takes one off for each client that it looks at, and one for each KB that it gives to a client.
  virtual bool hand_out(unsigned thread, Progress& progress, unsigned& left) const = 0;
};

}  // namespace pinfold
