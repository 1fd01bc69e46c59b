#include "tally.h"

namespace pinfold::load {
namespace {

// Replies come from a server that may be wrong in any way; what is quoted of them is kept short.
constexpr std::size_t kQuoted = 200;

void remember_first(std::string& first, std::string_view text) {
  if (first.empty()) first = text.substr(0, kQuoted);
}

}  // namespace

void Tally::error(std::string_view reply) {
  ++errors;
  remember_first(problem_, reply);
}

void Tally::refuse(std::string_view reply) {
  ++refused;
  remember_first(refusal_, reply);
}

void Tally::mismatch(std::string_view what) {
  ++wrong;
  remember_first(problem_, what);
}

void Tally::stop(std::string_view why) {
  broken = true;
  remember_first(problem_, why);
}

}  // namespace pinfold::load
