#include <catch2/catch.hpp>

#include <limits>
#include <string>

#include "pinfold/resp/reply.hpp"

using pinfold::Blob;
using pinfold::resp::Output;
using pinfold::resp::Reply;

namespace {

std::string text_of(const Output& output, std::size_t skip = 0) {
  std::string text;
  Output::Run runs[2];  // fewer than there may be: gather must be callable piece by piece
  while (skip < output.size()) {
    const std::size_t count = output.gather(skip, runs, 2);
    for (std::size_t i = 0; i < count; ++i) {
      text += runs[i].bytes;
      skip += runs[i].bytes.size();
    }
  }
  return text;
}

template <class Write>
std::string written(int protocol, Write&& write) {
  Output output;
  Reply reply(output, protocol);
  write(reply);
  return text_of(output);
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
  CHECK(written(2, [](Reply& r) { r.integer(std::numeric_limits<std::int64_t>::min()); }) ==
        ":-9223372036854775808\r\n");
  CHECK(written(2, [](Reply& r) { r.bulk(""); }) == "$0\r\n\r\n");
}

TEST_CASE("an error reply cannot carry a line break from the client") {
  CHECK(written(2, [](Reply& r) { r.error("ERR bad 'x\r\n+OK\r\n'"); }) == "-ERR bad 'x  +OK  '\r\n");
  CHECK(written(2, [](Reply& r) { r.error("ERR bad x\n\r\n"); }) == "-ERR bad x\r\n");
}

TEST_CASE("blobs are sent in their place, from any position, and survive a hand-over") {
  Output output;
  Reply reply(output, 2);
  reply.bulk("a");
  reply.bulk(blob_of("0123456789"));
  reply.integer(5);
  reply.bulk(blob_of("xyz"));
  const std::string whole = "$1\r\na\r\n$10\r\n0123456789\r\n:5\r\n$3\r\nxyz\r\n";
  CHECK(text_of(output) == whole);
  CHECK(output.size() == whole.size());
  for (std::size_t skip = 0; skip <= whole.size(); ++skip) CHECK(text_of(output, skip) == whole.substr(skip));
  for (std::size_t skip : {0, 3, 12, 15, 30}) {
    Output from;
    Reply again(from, 2);
    again.bulk("a");
    again.bulk(blob_of("0123456789"));
    again.integer(5);
    again.bulk(blob_of("xyz"));
    Output to;
    to.append("before ");
    to.move_from(from, skip);
    CHECK(text_of(to) == "before " + whole.substr(skip));
    CHECK(from.empty());
  }
}

TEST_CASE("what was written since a mark can be taken back, blobs included") {
  Output output;
  Reply reply(output, 2);
  reply.ok();
  const std::size_t mark = output.mark();
  reply.bulk(blob_of("0123456789"));
  output.truncate(mark);
  CHECK(text_of(output) == "+OK\r\n");
}

TEST_CASE("what a socket did not take is handed on without copying blobs") {
  Blob blob = blob_of(std::string(1 << 20, 'b'));
  void* const raw = blob.detach();
  pinfold::Blob::note_stored(raw, 1);
  blob = Blob::attach(raw);
  for (const std::size_t sent : {0, 3, 10, 500'000}) {
    Output output;
    Reply reply(output, 2);
    reply.ok();
    reply.bulk(blob);
    const std::string whole = text_of(output);
    Output rest;
    rest.move_from(output, sent);
    CHECK(output.empty());
    CHECK(text_of(rest) == whole.substr(sent));
    CHECK(rest.memory() < 10'000);
    CHECK(rest.held_bytes() == blob.size());
    CHECK(rest.abandoned_bytes() == 0);
    Output last;
    last.move_from(rest, whole.size() - sent - 100);
    CHECK(text_of(last) == whole.substr(whole.size() - 100));
    CHECK(last.held_bytes() == 0);
    CHECK(blob.unique());
  }
}

TEST_CASE("text has a cap of its own") {
  Output output;
  output.set_caps(10'000, SIZE_MAX);
  output.append(blob_of(std::string(1 << 20, 'b')));
  output.append(std::string(9'000, 'a'));
  CHECK_FALSE(output.overflowed());
  CHECK(output.size() == 9'000 + (1 << 20));
  output.append(std::string(9'000, 'a'));
  CHECK(output.overflowed());
  output.clear(0);
  output.set_caps(SIZE_MAX, 2 << 20);
  output.append(blob_of(std::string(1 << 20, 'b')));
  CHECK_FALSE(output.overflowed());
  output.append(blob_of(std::string(1 << 20, 'b')));
  output.append(std::string(100'000, 'a'));
  CHECK(output.overflowed());
}
