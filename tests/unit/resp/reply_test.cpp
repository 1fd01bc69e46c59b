#include "pinfold/resp/reply.hpp"

#include <limits>
#include <string>

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"

using pinfold::Blob;
using pinfold::resp::Output;
using pinfold::resp::Reply;

namespace {

std::string_view view_of(const iovec& run) { return {static_cast<const char*>(run.iov_base), run.iov_len}; }

// Takes all that would be sent out of the output, in pieces of `piece` bytes.
std::string sent_of(Output& output, std::size_t piece = SIZE_MAX) {
  std::string text;
  iovec runs[2];  // fewer than there may be, so that gather() must work piece by piece
  while (!output.empty()) {
    const std::size_t count = output.gather(runs, 2);
    std::size_t taken = 0;
    for (std::size_t i = 0; i < count && taken < piece; ++i) {
      const std::string_view part = view_of(runs[i]).substr(0, piece - taken);
      text += part;
      taken += part.size();
    }
    output.consume(taken);
  }
  return text;
}

template <class Write>
std::string written(int protocol, Write&& write) {
  Output output;
  Reply reply(output, protocol);
  write(reply);
  return sent_of(output);
}

Blob blob_of(const std::string& text) {
  static pinfold::BlockHeap heap([](std::int64_t) {});
  return Blob::copy_of(heap, text);
}

}  // namespace

TEST_CASE("each kind of reply has its form in RESP2 and RESP3") {
  const auto both = [](auto&& write) { return std::pair(written(2, write), written(3, write)); };
  using Pair = std::pair<std::string, std::string>;
  CHECK(both([](Reply& r) { r.null(); }) == Pair("$-1\r\n", "_\r\n"));
  CHECK(both([](Reply& r) { r.null_array(); }) == Pair("*-1\r\n", "_\r\n"));
  CHECK(both([](Reply& r) { r.map(2); }) == Pair("*4\r\n", "%2\r\n"));
  CHECK(both([](Reply& r) { r.set(2); }) == Pair("*2\r\n", "~2\r\n"));
  CHECK(both([](Reply& r) { r.boolean(true); }) == Pair(":1\r\n", "#t\r\n"));
  CHECK(both([](Reply& r) { r.real(0.5); }) == Pair("$3\r\n0.5\r\n", ",0.5\r\n"));
  CHECK(both([](Reply& r) { r.verbatim("hi"); }) == Pair("$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"));
  CHECK(written(2, [](Reply& r) { r.integer(std::numeric_limits<std::int64_t>::min()); }) == ":-9223372036854775808\r\n");
  CHECK(written(2, [](Reply& r) { r.bulk(""); }) == "$0\r\n\r\n");
}

TEST_CASE("an error reply cannot carry a line break from the client") {
  CHECK(written(2, [](Reply& r) { r.error("ERR bad 'x\r\n+OK\r\n'"); }) == "-ERR bad 'x  +OK  '\r\n");
  CHECK(written(2, [](Reply& r) { r.error("ERR bad x\n\r\n"); }) == "-ERR bad x\r\n");
}

TEST_CASE("blobs are sent in their place, in pieces of any size, and survive a hand-over") {
  const auto fill = [](Output& output) {
    Reply reply(output, 2);
    reply.bulk("a");
    reply.bulk(blob_of("0123456789"));
    reply.integer(5);
    reply.bulk(blob_of("xyz"));
  };
  const std::string whole = "$1\r\na\r\n$10\r\n0123456789\r\n:5\r\n$3\r\nxyz\r\n";
  for (std::size_t piece = 1; piece <= whole.size(); ++piece) {
    Output output;
    fill(output);
    CHECK(output.size() == whole.size());
    CHECK(sent_of(output, piece) == whole);
  }
  for (std::size_t sent = 0; sent < whole.size(); ++sent) {
    Output from;
    fill(from);
    from.consume(sent);
    Output to;
    to.append("before ");
    to.move_from(from);
    CHECK(from.empty());
    CHECK(sent_of(to, 2) == "before " + whole.substr(sent));
    CHECK(to.held_bytes() == 0);
  }
}

TEST_CASE("truncate takes back everything written since a mark, blobs included") {
  Output output;
  Reply reply(output, 2);
  reply.ok();
  const std::size_t mark = output.mark();
  reply.bulk(blob_of("0123456789"));
  output.truncate(mark);
  CHECK(sent_of(output) == "+OK\r\n");
}

TEST_CASE("move_from takes over what a socket did not take, without copying blobs") {
  Blob blob = blob_of(std::string(1 << 20, 'b'));
  void* const raw = blob.detach();
  pinfold::Blob::note_stored(raw, 1);
  blob = Blob::attach(raw);
  const std::string whole = "+OK\r\n" + written(2, [&](Reply& r) { r.bulk(blob); });
  for (const std::size_t sent : {0, 3, 10, 500'000}) {
    Output output;
    Reply reply(output, 2);
    reply.ok();
    reply.bulk(blob);
    output.consume(sent);
    Output rest;
    rest.move_from(output);
    CHECK(output.empty());
    CHECK(rest.memory() < 10'000);
    CHECK(rest.held_bytes() == blob.size());
    CHECK(rest.abandoned_bytes() == 0);
    rest.consume(whole.size() - sent - 100);
    Output last;
    last.move_from(rest);
    CHECK(last.held_bytes() == 0);
    CHECK(sent_of(last) == whole.substr(whole.size() - 100));
    CHECK(blob.unique());
  }
}

TEST_CASE("sending and moving a reply of many blobs visits each of them once") {
  const Blob blob = blob_of(std::string(20'000, 'b'));
  constexpr std::size_t count = 100'000;
  Output output;
  Reply reply(output, 2);
  reply.array(count);
  for (std::size_t i = 0; i < count; ++i) reply.bulk(blob);
  output.consume(1'000'000);
  Output rest;
  const pinfold::work::Counting counting;
  rest.move_from(output);
  CHECK(counting.counts().entries <= count);
  iovec runs[64];
  std::size_t calls = 0;
  for (; !rest.empty(); ++calls) {
    std::size_t bytes = 0;
    for (std::size_t i = 0, n = rest.gather(runs, 64); i < n; ++i) bytes += runs[i].iov_len;
    rest.consume(bytes);
    rest.compact();
  }
  CHECK(counting.counts().entries <= 4 * count);
  CHECK(calls <= 2 * count / 64 + 2);
  CHECK(blob.unique());
  rest.clear(0);
  CHECK(rest.memory() == 0);
}

TEST_CASE("each call of abandoned_bytes visits the next slice of blobs, all of them in turn") {
  const Blob blob = blob_of(std::string(20'000, 'b'));
  Output output;
  for (int i = 0; i < 5000; ++i) {
    void* const raw = Blob(blob).detach();
    if (i == 0) pinfold::Blob::note_stored(raw, 1);
    output.append(Blob::attach(raw));
  }
  const Blob abandoned = blob_of(std::string(100'000, 'a'));
  output.append(abandoned);
  const pinfold::work::Counting counting;
  std::size_t calls = 0;
  while (output.abandoned_bytes() == 0) REQUIRE(++calls < 20);
  CHECK(counting.counts().entries <= (calls + 1) * 512);
}

TEST_CASE("an output that is cleared gives back the memory for many blobs") {
  Output output;
  const Blob blob = blob_of(std::string(20'000, 'b'));
  for (int i = 0; i < 10'000; ++i) output.append(blob);
  CHECK(output.memory() > 100'000);
  output.clear(64 * 1024);
  CHECK(output.memory() <= 64 * 1024);
}

TEST_CASE("a backlog that never becomes empty keeps memory only for what is unsent") {
  Output backlog;
  const Blob blob = blob_of(std::string(20'000, 'b'));
  std::string expected;
  std::string sent;
  for (int round = 0; round < 2000; ++round) {
    Output more;
    Reply reply(more, 2);
    reply.bulk(std::string(500, static_cast<char>('a' + round % 26)));
    if (round % 7 == 0) reply.bulk(blob);
    backlog.move_from(more);
    if (round < 10) continue;
    iovec runs[3];
    const std::size_t count = backlog.gather(runs, 3);
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < count; ++i) {
      sent += view_of(runs[i]);
      bytes += runs[i].iov_len;
    }
    backlog.consume(bytes);
    backlog.compact();
    REQUIRE(backlog.memory() < 400'000);
  }
  sent += sent_of(backlog);
  for (int round = 0; round < 2000; ++round) {
    expected += "$500\r\n" + std::string(500, static_cast<char>('a' + round % 26)) + "\r\n";
    if (round % 7 == 0) expected += "$20000\r\n" + std::string(blob.view()) + "\r\n";
  }
  CHECK(sent == expected);
}

TEST_CASE("a part of a large blob is sent without a copy, and a short part is copied so that the blob is released") {
  const Blob blob = blob_of(std::string(500'000, 'x') + std::string(500'000, 'y'));
  Output output;
  Reply reply(output, 2);
  reply.bulk(blob, 499'999, 300'000);
  CHECK(output.memory() < 10'000);
  CHECK_FALSE(blob.unique());
  CHECK(sent_of(output, 7777) == "$300000\r\nx" + std::string(299'999, 'y') + "\r\n");
  output.clear(0);
  reply.bulk(blob, 499'998, 5);
  CHECK(blob.unique());
  CHECK(sent_of(output) == "$5\r\nxxyyy\r\n");
  reply.bulk(blob, 10, 0);
  CHECK(sent_of(output) == "$0\r\n\r\n");
}

namespace {
struct Allowance final : Output::Account {
  explicit Allowance(std::size_t bytes) : most(bytes) {}
  bool allows(std::size_t bytes) override {
    largest = std::max(largest, bytes);
    granted += bytes <= most ? 1 : 0;
    return bytes <= most;
  }
  std::size_t most;
  std::size_t largest = 0;
  int granted = 0;
};
}  // namespace

TEST_CASE("a reply that the account refuses is taken back before its bytes take memory") {
  Allowance allowance(100'000);
  Output output;
  output.set_account(&allowance);
  Reply reply(output, 2);
  output.begin_reply(SIZE_MAX);
  reply.bulk("before");
  const auto refused = [&](auto&& write) {
    output.begin_reply(SIZE_MAX);
    const std::size_t size = output.size();
    write();
    CHECK(output.overflow() == Output::Overflow::account);
    CHECK(output.size() <= size + Output::least_room);
    CHECK(output.memory() <= allowance.most + Output::least_room);
    output.take_back_reply();
    CHECK(output.overflow() == Output::Overflow::none);
    CHECK(output.size() == size);
    reply.error("ERR no");
  };
  refused([&] { reply.bulk(std::string(200'000, 'x')); });
  refused([&] {
    reply.array(1000);
    for (int i = 0; i < 1000; ++i) reply.bulk(std::string(1000, 'x'));
  });
  const Blob blob = blob_of(std::string(20'000, 'b'));
  refused([&] {
    for (int i = 0; i < 100'000; ++i) reply.bulk(blob);
  });
  CHECK(blob.unique());
  output.begin_reply(SIZE_MAX);
  reply.bulk(blob);
  CHECK(output.overflow() == Output::Overflow::none);
  const std::string expected = "$6\r\nbefore\r\n-ERR no\r\n-ERR no\r\n-ERR no\r\n$20000\r\n" + std::string(blob.view()) + "\r\n";
  CHECK((sent_of(output) == expected));
}

TEST_CASE("a reply that overflows leaves earlier replies alone, sent or not") {
  Allowance allowance(100'000);
  Output output;
  output.set_account(&allowance);
  Reply reply(output, 2);
  const std::string first(3000, 'a');
  const std::string second(5000, 'b');
  output.append(first);
  output.append(second);
  const std::size_t behind = output.mark();
  output.begin_reply(SIZE_MAX);
  SECTION("too large for the account") {
    for (int i = 0; i < 1000; ++i) reply.bulk(std::string(1000, 'x'));
    CHECK(output.overflow() == Output::Overflow::account);
    output.consume(first.size());
    output.take_back_reply();
  }
  SECTION("larger than the cap") {
    output.begin_reply(output.size() + 2000);
    reply.bulk(blob_of(std::string(20'000, 'x')));
    CHECK(output.overflow() == Output::Overflow::cap);
    output.consume(first.size());
    output.truncate(behind);
  }
  SECTION("dropped") {
    reply.bulk(std::string(30'000, 'x'));
    reply.bulk(blob_of(std::string(20'000, 'x')));
    output.consume(first.size());
    output.truncate(behind);
  }
  SECTION("moved to where there is no room for it") {
    Output other;
    Reply to_other(other, 2);
    for (int i = 0; i < 200; ++i) to_other.bulk(std::string(1000, 'x'));
    to_other.bulk(blob_of(std::string(20'000, 'x')));
    output.consume(first.size());
    output.move_from(other);
    CHECK(output.overflow() == Output::Overflow::account);
    CHECK((output.held_bytes() == 0 && other.empty()));
    output.take_back_reply();
  }
  CHECK(output.overflow() == Output::Overflow::none);
  CHECK(output.text(output.size()) == second);
  output.consume(second.size());
  CHECK((output.empty() && output.held_bytes() == 0));
}

TEST_CASE("a reply near the limit of the account grows in few steps") {
  const std::size_t most = GENERATE(10'000, 1 << 20, 10 << 20, 30'000'001);
  Allowance allowance(most);
  Output output;
  output.set_account(&allowance);
  output.begin_reply(SIZE_MAX);
  std::size_t largest = 0;
  for (const std::string part(500, 'x'); output.overflow() == Output::Overflow::none; output.append(part)) largest = output.size();
  CHECK(largest >= most - most / 32 - 500);
  // From 1 MB on it grows by a quarter each time, and near the limit by half of that, and so on.
  CHECK(allowance.granted <= 48);
}

TEST_CASE("an output that is cleared has not grown, however its content was removed before") {
  constexpr std::size_t keep = 64 * 1024;
  const Blob blob = blob_of(std::string(20'000, 'b'));
  Output output;
  Reply reply(output, 2);
  output.begin_reply(SIZE_MAX);
  SECTION("a text that fills just what is kept, behind one blob") {
    reply.bulk(blob);
    output.clear(keep);
    output.append(std::string(keep, 'x'));
    CHECK_FALSE(output.has_grown(keep));
  }
  SECTION("many blobs that were taken back") {
    for (int i = 0; i < 10'000; ++i) reply.bulk(blob);
    CHECK(output.has_grown(keep));
    output.truncate(0);
  }
  SECTION("many blobs that were sent") {
    for (int i = 0; i < 10'000; ++i) reply.bulk(blob);
    output.consume(output.size());
  }
  output.clear(keep);
  CHECK_FALSE(output.has_grown(keep));
  CHECK(output.memory() <= keep + 16 * 1024);
}

TEST_CASE("a reply beyond the cap overflows, blobs included") {
  Output output;
  output.begin_reply(2 << 20);
  output.append(blob_of(std::string(1 << 20, 'b')));
  CHECK(output.overflow() == Output::Overflow::none);
  output.append(blob_of(std::string(1 << 20, 'b')));
  output.append(std::string(100'000, 'a'));
  CHECK(output.overflow() == Output::Overflow::cap);
  output.clear(0);
  CHECK(output.overflow() == Output::Overflow::none);
}

TEST_CASE("texts of scripts stay within their line") {
  for (const int protocol : {2, 3}) {
    Output output;
    Reply reply(output, protocol);
    reply.status("a\r\n+b\r\n");
    CHECK(output.text(output.size()) == "+a  +b  \r\n");
    output.truncate(0);
    reply.big_number("12\r\n34");
    CHECK(output.text(output.size()) == (protocol == 3 ? "(12  34\r\n" : "$6\r\n12\r\n34\r\n"));
    output.truncate(0);
    reply.verbatim("mkd", "text");
    CHECK(output.text(output.size()) == (protocol == 3 ? "=8\r\nmkd:text\r\n" : "$4\r\ntext\r\n"));
    output.truncate(0);
    reply.verbatim("long", "text");
    CHECK(output.text(output.size()) == (protocol == 3 ? "=8\r\nlon:text\r\n" : "$4\r\ntext\r\n"));
    output.truncate(0);
    reply.verbatim("x", "");
    CHECK(output.text(output.size()) == (protocol == 3 ? "=4\r\nx  :\r\n" : "$0\r\n\r\n"));
  }
}
