// Replays a trace of requests through the eviction policies, without a server:
//   pinfold-replay TRACE [entries=N | bytes=N] [policy=NAME,...] [value=N] [overhead=N] [segment=N] [seed=N] [sample=N]
//
// A trace has one request a line, `key-id [value-bytes]`, plain or gzip. Prints one line per policy: name, hit ratio,
// hits, requests, entries read while evicting per entry that was stored. `opt` is Belady's, for entries only.
// With `bytes` an entry costs its value (`value` where the trace has none), its key and `overhead`.
//
// With `sample=N` it prints for each policy how well a MissRatioCurve that simulates up to N entries estimates the hit ratios with other
// amounts of memory, in one line for each: policy, factor, hit ratio as replayed, as estimated, difference in points, entries in the
// sample, its part of all keys.

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/eviction/miss_ratio_curve.hpp"
#include "pinfold/eviction/replay.hpp"

namespace {

using namespace pinfold;

struct Request {
  std::uint32_t key;
  std::uint32_t bytes;
};

struct Settings {
  std::string trace;
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  std::uint64_t value = 0;
  std::uint64_t overhead = 16;
  std::uint64_t segment = 1;
  std::uint64_t seed = 1;
  std::uint64_t sample = 0;
  std::vector<std::string> policies = {"allkeys-lfu"};
};

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw std::runtime_error("'" + std::string(text) + "' is no number");
  }
  return value;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    words.emplace_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return words;
}

Settings settings_of(int count, char** arguments) {
  Settings result;
  std::map<std::string_view, std::uint64_t*> numbers = {
      {"entries", &result.entries}, {"bytes", &result.bytes}, {"value", &result.value},  {"overhead", &result.overhead},
      {"segment", &result.segment}, {"seed", &result.seed},   {"sample", &result.sample}};
  for (int i = 1; i < count; ++i) {
    const std::string_view word = arguments[i];
    const std::size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    if (equals == std::string_view::npos) {
      result.trace = word;
    } else if (name == "policy") {
      result.policies = split(word.substr(equals + 1));
    } else if (const auto found = numbers.find(name); found != numbers.end()) {
      *found->second = number(word.substr(equals + 1));
    } else {
      throw std::runtime_error("unknown option '" + std::string(name) + "'");
    }
  }
  if (result.trace.empty()) throw std::runtime_error("which trace?");
  if ((result.entries == 0) == (result.bytes == 0)) throw std::runtime_error("either entries=N or bytes=N");
  return result;
}

// Opens a plain or gzip file as text; gzip through zcat, which is where zlib is not.
struct Input {
  explicit Input(const std::string& path) {
    std::FILE* plain = std::fopen(path.c_str(), "rb");
    if (plain == nullptr) throw std::runtime_error(path + ": " + std::strerror(errno));  // NOLINT(concurrency-mt-unsafe): one thread
    const bool gzip = std::fgetc(plain) == 0x1f && std::fgetc(plain) == 0x8b;
    if (!gzip) {
      std::rewind(plain);
      file = plain;
      return;
    }
    std::fclose(plain);
    std::string quoted = "'";
    for (const char c : path) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    file = popen(("zcat -- " + quoted + "'").c_str(), "r");
    piped = true;
    if (file == nullptr) throw std::runtime_error("cannot start zcat");
  }
  ~Input() {
    if (file != nullptr) {
      if (piped) {
        pclose(file);
      } else {
        std::fclose(file);
      }
    }
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  std::FILE* file = nullptr;
  bool piped = false;
};

std::vector<Request> requests_of(const Settings& settings) {
  Input input(settings.trace);
  std::map<std::string, std::uint32_t, std::less<>> words;  // keys that are no plain numbers
  std::vector<Request> requests;
  char line[4096];
  while (std::fgets(line, sizeof line, input.file) != nullptr) {
    std::string_view text(line);
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
    if (text.empty()) continue;
    const std::size_t space = text.find(' ');
    const std::string_view id = text.substr(0, space);
    const std::uint64_t value = space == std::string_view::npos ? settings.value : number(text.substr(space + 1));
    const auto found = words.try_emplace(std::string(id), static_cast<std::uint32_t>(words.size())).first;
    requests.push_back({found->second, static_cast<std::uint32_t>(value + id.size() + settings.overhead)});
  }
  if (requests.empty()) throw std::runtime_error(settings.trace + ": no requests");
  return requests;
}

// Belady's optimum: evicts the key whose next request is furthest away.
std::uint64_t optimal_hits(const std::vector<Request>& requests, std::uint64_t entries) {
  constexpr std::size_t never = std::numeric_limits<std::size_t>::max();
  std::vector<std::size_t> next(requests.size(), never);
  std::map<std::uint32_t, std::size_t> seen;
  for (std::size_t i = requests.size(); i-- > 0;) {
    const auto [at, fresh] = seen.try_emplace(requests[i].key, i);
    if (!fresh) next[i] = std::exchange(at->second, i);
  }
  std::set<std::pair<std::size_t, std::uint32_t>> cached;  // by next request
  std::uint64_t hits = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::uint32_t key = requests[i].key;
    if (cached.erase({i, key}) != 0) {
      ++hits;
    } else if (cached.size() == entries) {
      cached.erase(std::prev(cached.end()));
    }
    cached.emplace(next[i], key);
  }
  return hits;
}

void replay(const Settings& settings, const std::vector<Request>& requests, const std::string& name) {
  std::uint64_t hits = 0;
  std::uint64_t read = 0;
  if (name == "opt") {
    if (settings.entries == 0) throw std::runtime_error("opt is known for equal entries only");
    hits = optimal_hits(requests, settings.entries);
  } else {
    const auto kind = eviction::kind_named(name);
    if (!kind) throw std::runtime_error("unknown policy '" + name + "'");
    eviction::Replay cache(
        {.kind = *kind, .capacity = settings.entries + settings.bytes, .segment = settings.segment, .seed = settings.seed});
    for (const Request& request : requests) hits += cache.request(request.key, settings.bytes != 0 ? request.bytes : 1);
    read = cache.read();
  }
  const auto all = static_cast<double>(requests.size());
  std::printf("%s %.4f %llu %zu %.2f\n", name.c_str(), static_cast<double>(hits) / all, static_cast<unsigned long long>(hits),
              requests.size(), static_cast<double>(read) / std::max(1.0, all - static_cast<double>(hits)));
}

// What a server notes of its accesses, for a curve, while it replays the trace with the memory that the settings name.
eviction::MissRatioCurve estimate(const Settings& settings, const std::vector<Request>& requests, eviction::Kind kind) {
  using Access = eviction::SampledAccess::Kind;
  const std::uint64_t capacity = settings.entries + settings.bytes;
  eviction::Replay server({.kind = kind, .capacity = capacity, .segment = settings.segment, .seed = settings.seed});
  eviction::MissRatioCurve curve(kind, static_cast<std::uint32_t>(settings.sample), settings.seed);
  curve.set_capacity(capacity, 0);
  const HashKey hash_key{settings.seed * 7919, ~settings.seed};
  for (const Request& request : requests) {
    const std::uint64_t bytes = settings.bytes != 0 ? request.bytes : 1;
    const bool hit = server.request(request.key, bytes);
    curve.count(hit ? 1 : 0, hit ? 0 : 1);
    const std::uint64_t hash = siphash13(hash_key, {reinterpret_cast<const char*>(&request.key), sizeof request.key});
    eviction::SampledAccess access{
        .position = eviction::sample_position(hash), .bytes = static_cast<std::uint32_t>(bytes), .kind = Access::read, .found = hit};
    curve.note(access);
    if (hit) continue;
    access.kind = Access::write;
    curve.note(access);
  }
  return curve;
}

void print_curve(const Settings& settings, const std::vector<Request>& requests, const std::string& name) {
  const auto kind = eviction::kind_named(name);
  if (!kind) throw std::runtime_error("unknown policy '" + name + "'");
  const eviction::MissRatioCurve curve = estimate(settings, requests, *kind);
  for (std::size_t i = 0; i < eviction::MissRatioCurve::factors.size(); ++i) {
    const double factor = eviction::MissRatioCurve::factors[i];
    const auto capacity = static_cast<std::uint64_t>(static_cast<double>(settings.entries + settings.bytes) * factor);
    eviction::Replay cache({.kind = *kind, .capacity = capacity, .segment = settings.segment, .seed = settings.seed});
    std::uint64_t hits = 0;
    for (const Request& request : requests) hits += cache.request(request.key, settings.bytes != 0 ? request.bytes : 1);
    const double exact = static_cast<double>(hits) / static_cast<double>(requests.size());
    std::printf("%s %.2f %.4f %.4f %+.2f %u 1/%u\n", name.c_str(), factor, exact, curve.hit_ratio(i), (curve.hit_ratio(i) - exact) * 100,
                curve.entries(), 1U << curve.halvings());
  }
}

}  // namespace

int main(int count, char** arguments) {
  try {
    const Settings settings = settings_of(count, arguments);
    const std::vector<Request> requests = requests_of(settings);
    for (const std::string& name : settings.policies) {
      if (settings.sample != 0) {
        print_curve(settings, requests, name);
      } else {
        replay(settings, requests, name);
      }
    }
  } catch (const std::exception& failure) {
    std::cerr << "pinfold-replay: " << failure.what() << '\n';
    return 1;
  }
  return 0;
}
