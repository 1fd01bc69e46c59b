#include "pinfold/store/extra.hpp"

namespace pinfold::store {

void Extra::write(char* to) const {
  const auto size16 = static_cast<std::uint16_t>(size());
  char* const start = to;
  to += head;
  unsigned fields = 0;
  const auto put = [&](auto value, unsigned field) {
    if (value == 0) return;
    fields |= field;
    std::memcpy(to, &value, sizeof value);
    to += sizeof value;
  };
  put(stale_ms, kStale);
  put(version, kVersion);
  put(load_ms, kLoad);
  put(written, kWritten);
  put(policy, kPolicy);
  if (!tags.empty()) std::memmove(to, tags.data(), tags.size());
  std::memcpy(start, &size16, sizeof size16);
  start[2] = static_cast<char>(fields);
}

Extra Extra::read(const char* from) {
  Extra extra;
  const char* const end = from + size_at(from);
  const auto fields = static_cast<unsigned char>(from[2]);
  from += head;
  const auto take = [&](auto& value, unsigned field) {
    if ((fields & field) == 0) return;
    std::memcpy(&value, from, sizeof value);
    from += sizeof value;
  };
  take(extra.stale_ms, kStale);
  take(extra.version, kVersion);
  take(extra.load_ms, kLoad);
  take(extra.written, kWritten);
  take(extra.policy, kPolicy);
  extra.tags = {from, static_cast<std::size_t>(end - from)};
  return extra;
}

}  // namespace pinfold::store
