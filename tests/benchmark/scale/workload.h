#pragma once
// The requests of one thread of the scale benchmark: which keys, in which order, as the bytes that a client would send.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pinfold::scale {

enum class Keys { kUniform, kZipf, kOne };

const char* name_of(Keys keys);

struct Workload {
  Keys keys = Keys::kUniform;
  unsigned writes = 0;  // percent
  unsigned batch = 1;   // requests that come together
};

constexpr std::size_t value_bytes = 100;

/// A long row of requests, which is then repeated: drawing them must not be what is measured. The threads' lie side by side and
/// are written to with every request, so no two share a cache line (or the pair of lines that a core fetches together).
class alignas(128) Requests {
 public:
  Requests(const Workload& workload, std::uint32_t keys, std::uint64_t seed);

  struct Batch {
    std::string_view bytes;
    std::size_t reply_bytes;
  };
  /// Valid until the next call.
  Batch next();

 private:
  const Workload workload_;
  std::vector<std::uint32_t> drawn_;  // the key's number, twice, plus one for a write
  std::size_t at_ = 0;
  std::string buffer_;
};

/// The whole request that stores a key's value.
std::string set_request(std::uint32_t key);

}  // namespace pinfold::scale
