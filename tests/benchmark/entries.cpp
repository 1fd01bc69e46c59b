#include "entries.h"

namespace pinfold::load {

Entries::Entries(const Options& options)
    : lengths_(options.value_bytes, options.value_most),
      values_(lengths_.most()),
      any_length_(options.any_length || options.writes == Writes::kResize) {}

std::string_view Entries::value(std::uint64_t n, std::uint64_t random) const { return values_.of(mix(n), lengths_.of(random)); }

bool Entries::right_length(std::uint64_t n, std::size_t length) const {
  if (any_length_) return length >= lengths_.least() && length <= lengths_.most();
  return length == lengths_.of(mix(n));
}

void Entries::count(const Reply& reply, std::uint64_t n, Tally& tally) const {
  switch (reply.kind) {
    case Reply::Kind::kValue:
      ++tally.hits;
      tally.bytes_hit += reply.text.size();
      if (!right_length(n, reply.text.size())) {
        tally.mismatch("a value of the wrong length");
      } else if (reply.text != values_.of(mix(n), reply.text.size())) {
        tally.mismatch("a value of the wrong content");
      }
      break;
    case Reply::Kind::kMissing:
      ++tally.misses;
      break;
    case Reply::Kind::kStored:
      ++tally.stored;
      break;
    case Reply::Kind::kDeleted:
      ++tally.deleted;
      break;
    case Reply::Kind::kRefused:
      tally.refuse(reply.text);
      break;
    case Reply::Kind::kGarbage:
      tally.mismatch(reply.text);
      break;
    default:
      tally.error(reply.text);
  }
}

}  // namespace pinfold::load
