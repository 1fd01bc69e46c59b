#pragma once
// A batch: requests that are parsed before the first of them is executed, so that the memory that they will read can be fetched
// meanwhile. The requests come from one pipelining connection, or from several connections that are ready at the same time.

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "pinfold/command/dispatch.hpp"

namespace pinfold::net {

class Connection;

/// Each I/O thread has one batch, and only that thread uses it. The bytes of arguments are not copied: they stay in the inputs
/// of the connections.
class Batch {
 public:
  static constexpr std::size_t capacity = 32;

  struct Request {
    Connection* connection;
    std::size_t start;  // the offset of the request in the connection's input
    std::size_t first_arg;
    std::size_t arg_count;
  };

  bool full() const { return size_ == capacity || args_.size() > many_arguments || is_large(); }
  std::size_t size() const { return size_; }
  void clear() {
    size_ = 0;
    args_.clear();
    long_ = {};
  }
  /// Whether the last request has more than 1024 arguments. The thread then frees the memory that was needed to execute it.
  bool is_large() const { return !long_.empty(); }
  /// Adds a request. Only if not full(). The views in `args` are copied, unless they are more than 1024: then `args` itself
  /// must stay valid until clear().
  void add(Connection& connection, std::size_t start, const std::vector<std::string_view>& args) {
    const std::size_t first = args_.size();
    if (args.size() > many_arguments) {
      long_ = args;
    } else {
      args_.insert(args_.end(), args.begin(), args.end());
    }
    requests_[size_++] = {&connection, start, first, args.size()};
  }

  const Request& request(std::size_t i) const { return requests_[i]; }
  command::Args args(std::size_t i) const {
    const auto [connection, start, first, count] = requests_[i];
    return count > many_arguments ? long_ : command::Args{args_.data() + first, count};
  }
  std::array<command::Prepared, capacity>& prepared() { return prepared_; }

 private:
  static constexpr std::size_t many_arguments = 1024;

  std::size_t size_ = 0;
  std::array<Request, capacity> requests_;
  std::array<command::Prepared, capacity> prepared_;
  std::vector<std::string_view> args_;  // the arguments of all requests, one after the other
  command::Args long_;                  // the arguments of the last request, if they are many
};

}  // namespace pinfold::net
