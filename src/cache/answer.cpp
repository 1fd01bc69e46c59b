#include "pinfold/cache/answer.hpp"

#include <new>

#include "pinfold/cache/cache.hpp"

namespace pinfold::cache {

std::uint64_t Answers::visit(std::uint64_t from, const Visitor& visitor) const {
  for (auto at = to.lower_bound(from); at != to.end(); ++at) {
    if (!visitor(at->first, {at->second.client, at->second.thread})) return at->first;
  }
  return 0;
}

void Answers::not_taken() const {
  if (answer.token == 0) return;
  try {
    cache.return_token(answer.token_of);
  } catch (const std::bad_alloc&) {  // the lease ends when its deadline passes
  }
}

}  // namespace pinfold::cache
