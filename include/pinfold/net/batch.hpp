#pragma once
// Requests that are parsed before the first of them is executed, so that the memory they will touch can be fetched meanwhile. They
// come from one pipelining connection, or from several connections that became ready together. Each I/O thread has one batch.

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "pinfold/command/dispatch.hpp"

namespace pinfold::net {

class Connection;

class Batch {
 public:
  static constexpr std::size_t capacity = 32;

  struct Request {
    Connection* connection;
    std::size_t start;  // where it starts in the connection's input
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
  /// Whether the last request has many arguments. Then the memory that is needed to execute it is not kept afterwards.
  bool is_large() const { return !long_.empty(); }
  /// Adds a request whose arguments lie in the connection's input. If they are many, `args` is not copied and must outlive the batch.
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
