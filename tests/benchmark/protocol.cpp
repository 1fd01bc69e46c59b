#include "protocol.h"

namespace pinfold::load {

std::unique_ptr<Protocol> make_protocol(const Options& options) {
  switch (options.wire) {
    case Wire::kMemcached:
      return make_memcached();
    case Wire::kMeta:
      return make_meta();
    case Wire::kCache:
      return make_cache(options.tag);
    case Wire::kResp:
      break;
  }
  return make_resp();
}

Line first_line(std::string_view in) {
  const std::size_t end = in.find("\r\n");
  if (end == std::string_view::npos) return {};
  return {true, in.substr(0, end)};
}

}  // namespace pinfold::load
