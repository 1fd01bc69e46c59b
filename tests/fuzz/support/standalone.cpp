// Runs a fuzz target where the compiler has no libFuzzer: over inputs that are there, and then over inputs that are these, changed at
// random. It does not look at what an input reaches, so it finds less than libFuzzer does. It takes a few seconds to compile where the
// rooms are compiled anyway.
//
//   fuzz-<target> [-runs=N] [-max_total_time=SECONDS] [-max_len=BYTES] [-seed=N] [-timeout=SECONDS] [-artifact_prefix=PATH] [PATH ...]
//
// These options mean what they mean in libFuzzer; others that begin with '-' are ignored. Without a limit it stops after the inputs
// that are there. The input under way is in the file PATH "current" until it has been executed, so it is there after a fault of any kind.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

extern "C" {
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);
[[gnu::weak]] std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed);
}

namespace {

using Bytes = std::vector<std::uint8_t>;

struct Options {
  std::uint64_t runs = 0;
  std::uint64_t seconds = 0;
  std::size_t longest = 4096;
  unsigned timeout = 60;  // of one input, in seconds
  unsigned seed = std::random_device{}();
  std::string prefix = "./";
  std::vector<std::string> paths;
};

std::mt19937 chance;

std::size_t below(std::size_t end) { return end == 0 ? 0 : chance() % end; }

Options read_options(int count, char** words) {
  Options options;
  for (const std::string_view word : std::vector<std::string_view>(words + 1, words + count)) {
    const std::size_t value = word.find('=') + 1;
    const auto has = [&](std::string_view name) { return value != 0 && word.substr(0, value) == name; };
    const auto number = [&] { return std::strtoull(word.data() + value, nullptr, 10); };
    if (has("-runs=")) {
      options.runs = number();
    } else if (has("-max_total_time=")) {
      options.seconds = number();
    } else if (has("-max_len=")) {
      options.longest = number();
    } else if (has("-timeout=")) {
      options.timeout = static_cast<unsigned>(number());
    } else if (has("-seed=")) {
      options.seed = static_cast<unsigned>(number());
    } else if (has("-artifact_prefix=")) {
      options.prefix = word.substr(value);
    } else if (word.substr(0, 1) != "-") {
      options.paths.emplace_back(word);
    }
  }
  return options;
}

Bytes read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// In the order of their names, so that a seed gives the same run.
std::vector<Bytes> read_inputs(const std::vector<std::string>& paths) {
  std::vector<std::filesystem::path> files;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      files.emplace_back(path);
      continue;
    }
    const auto first = static_cast<std::ptrdiff_t>(files.size());
    for (const auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry.path());
    std::sort(files.begin() + first, files.end());
  }
  std::vector<Bytes> inputs;
  for (const auto& file : files) inputs.push_back(read(file));
  return inputs;
}

void change_bytes(Bytes& bytes) {
  const auto place = [&] { return bytes.begin() + static_cast<std::ptrdiff_t>(below(bytes.size() + 1)); };
  const auto random_byte = [] { return static_cast<std::uint8_t>(chance()); };
  if (bytes.empty()) return bytes.push_back(random_byte());
  switch (below(6)) {
    case 0:
      bytes[below(bytes.size())] ^= static_cast<std::uint8_t>(1U << below(8));
      break;
    case 1:
      bytes[below(bytes.size())] = random_byte();
      break;
    case 2:
      bytes.insert(place(), 1 + below(4), random_byte());
      break;
    case 3:
    case 4: {  // a part goes, or comes a second time
      const std::size_t from = below(bytes.size());
      const Bytes part(bytes.begin() + static_cast<std::ptrdiff_t>(from),
                       bytes.begin() + static_cast<std::ptrdiff_t>(from + 1 + below(std::min<std::size_t>(bytes.size() - from, 32))));
      if (below(2) == 0) {
        bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(from), bytes.begin() + static_cast<std::ptrdiff_t>(from + part.size()));
      } else {
        bytes.insert(place(), part.begin(), part.end());
      }
      break;
    }
    default:
      std::swap(bytes[below(bytes.size())], bytes[below(bytes.size())]);
  }
}

// One input, perhaps with the end of another, changed in a few places.
Bytes changed(const std::vector<Bytes>& inputs, std::size_t longest) {
  Bytes bytes = inputs[below(inputs.size())];
  if (below(4) == 0) {
    const Bytes& other = inputs[below(inputs.size())];
    bytes.resize(below(bytes.size() + 1));
    bytes.insert(bytes.end(), other.begin() + static_cast<std::ptrdiff_t>(below(other.size() + 1)), other.end());
  }
  const std::size_t size = std::min(bytes.size(), longest);
  bytes.resize(longest);
  const auto mutate = [&](auto... seed) {
    if constexpr (sizeof...(seed) != 0) return LLVMFuzzerCustomMutator(bytes.data(), size, longest, seed...);
    return LLVMFuzzerMutate(bytes.data(), size, longest);
  };
  bytes.resize(LLVMFuzzerCustomMutator != nullptr ? mutate(static_cast<unsigned>(chance())) : mutate());
  return bytes;
}

class Runner {
 public:
  Runner(std::string current, unsigned timeout) : current_(std::move(current)), timeout_(timeout) {}
  ~Runner() { std::filesystem::remove(current_); }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  void run(const Bytes& bytes) {
    std::ofstream(current_, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    // A block of just this size, so that the sanitizer sees what is read beyond it. It is not null if the input is empty.
    const std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[bytes.size()]);
    std::copy(bytes.begin(), bytes.end(), exact.get());
    alarm(timeout_);  // SIGALRM ends the process
    LLVMFuzzerTestOneInput(exact.get(), bytes.size());
    alarm(0);
    ++executed_;
  }
  std::uint64_t executed() const { return executed_; }

 private:
  std::string current_;
  unsigned timeout_;
  std::uint64_t executed_ = 0;
};

}  // namespace

std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most) {
  Bytes bytes(data, data + size);
  for (std::size_t left = 1 + below(4); left > 0; --left) change_bytes(bytes);
  bytes.resize(std::min(bytes.size(), most));
  std::copy(bytes.begin(), bytes.end(), data);
  return bytes.size();
}

int main(int count, char** words) {
  const Options options = read_options(count, words);
  chance.seed(options.seed);
  std::fprintf(stderr, "repeat with -seed=%u\n", options.seed);
  std::vector<Bytes> inputs = read_inputs(options.paths);
  if (inputs.empty()) inputs.emplace_back();
  Runner runner(options.prefix + "current", options.timeout);
  for (const Bytes& input : inputs) runner.run(input);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(options.seconds);
  while (runner.executed() < options.runs || std::chrono::steady_clock::now() < end) runner.run(changed(inputs, options.longest));
  std::fprintf(stderr, "stat::number_of_executed_units: %llu\n", static_cast<unsigned long long>(runner.executed()));
  return 0;
}
