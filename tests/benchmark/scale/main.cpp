// Pinfold without a network: threads that drive the parser, the dispatcher and the store as I/O threads do, each on a core of
// its own. Prints a line of JSON for every run. For scripts/bench scale, which compares two threads with one.
//
//   pinfold-scale [--cores A,B] [--shards N] [--keys N] [--rounds N] [--ms N]

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "workload.h"
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "pinfold/command/dispatch.hpp"
#include "pinfold/resp/output.hpp"
#include "pinfold/resp/parser.hpp"

namespace pinfold::scale {
namespace {

constexpr std::size_t largest_batch = 16;
constexpr resp::Limits limits{.arguments = 1024, .bulk = 1 << 20, .authenticated = true};

struct Options {
  std::vector<int> cores{0, 1};
  unsigned shards = 0;  // 0: as a server with that many threads and much memory has
  std::uint32_t keys = 1'000'000;
  unsigned rounds = 5;
  unsigned ms = 200;
};

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "pinfold-scale: %s\n", message.c_str());
  std::exit(1);
}

void stay_on(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(core), &set);
  if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0) fail("cannot run on core " + std::to_string(core));
}

double seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::uint64_t sleeps() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return static_cast<std::uint64_t>(usage.ru_nvcsw);
}

struct Server {
  explicit Server(const Options& options)
      : keyspace({.shards = options.shards}), engine(settings, keyspace, static_cast<unsigned>(options.cores.size())) {}

  config::Settings settings;
  store::Keyspace keyspace;
  command::Engine engine;
};

/// A client and the thread that serves it: what net::IoThread::execute_batch does, between a buffer and an output.
class alignas(128) Driver {
 public:
  Driver(Server& server, unsigned thread) : dispatcher_(server.engine, thread) {}

  void serve(std::string_view bytes, std::size_t reply_bytes) {
    dispatcher_.clock().read();
    const std::size_t size = parse(bytes);
    for (std::size_t i = 0; i < size; ++i) prepared_[i] = dispatcher_.prepare(args_of(i));
    if (size > 1) dispatcher_.prefetch({prepared_.data(), size}, [this](std::size_t) { return session_.db; });
    for (std::size_t i = 0; i < size; ++i) {
      resp::Reply reply(output_, session_.protocol);
      dispatcher_.execute(session_, args_of(i), prepared_[i], reply);
    }
    if (output_.size() != reply_bytes) fail("a reply is wrong");
    output_.clear(kept_output);
  }

 private:
  static constexpr std::size_t kept_output = 64 * 1024;

  std::size_t parse(std::string_view bytes) {
    args_.clear();
    std::size_t size = 0;
    while (parser_.next(bytes, limits) == resp::Parser::Result::command) {
      first_[size++] = args_.size();
      args_.insert(args_.end(), parser_.args().begin(), parser_.args().end());
    }
    first_[size] = args_.size();
    parser_.drop_consumed();
    return size;
  }
  command::Args args_of(std::size_t i) const { return {args_.data() + first_[i], first_[i + 1] - first_[i]}; }

  command::Dispatcher dispatcher_;
  command::Session session_;
  resp::Parser parser_;
  resp::Output output_;
  std::vector<std::string_view> args_;
  std::array<std::size_t, largest_batch + 1> first_{};
  std::array<command::Prepared, largest_batch> prepared_;
};

struct Figures {
  std::uint64_t requests = 0;
  double seconds = 0;
  double cpu_seconds = 0;
  std::uint64_t sleeps = 0;
};

/// Runs `work`, which does so many requests a call, on each of the cores until the time is over.
template <class Start>
std::vector<Figures> run(const std::vector<int>& cores, unsigned ms, Start&& start) {
  std::vector<Figures> figures(cores.size());
  std::atomic<unsigned> ready{0};
  std::atomic<bool> go{false};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < cores.size(); ++i) {
    threads.emplace_back([&, i] {
      stay_on(cores[i]);
      auto work = start(i);
      for (unsigned warm_up = 0; warm_up < 2000; ++warm_up) work();
      ready.fetch_add(1);
      while (!go.load(std::memory_order_acquire)) {
      }
      Figures found;
      const double cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
      const double begun = seconds(CLOCK_MONOTONIC);
      const std::uint64_t slept = sleeps();
      do {
        found.requests += work();
      } while (!stop.load(std::memory_order_relaxed));
      found.sleeps = sleeps() - slept;
      found.seconds = seconds(CLOCK_MONOTONIC) - begun;
      found.cpu_seconds = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
      figures[i] = found;
    });
  }
  while (ready.load() < cores.size()) std::this_thread::yield();
  go.store(true, std::memory_order_release);
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  return figures;
}

void print(const std::string& what, unsigned round, const std::vector<Figures>& figures) {
  Figures sum;
  double rate = 0;
  for (const Figures& thread : figures) {
    sum.requests += thread.requests;
    sum.cpu_seconds += thread.cpu_seconds;
    sum.sleeps += thread.sleeps;
    rate += static_cast<double>(thread.requests) / thread.seconds;
  }
  std::printf("{%s, \"round\": %u, \"threads\": %zu, \"requests\": %llu, \"per_second\": %.0f, \"cpu_ns\": %.2f, \"sleeps\": %llu}\n",
              what.c_str(), round, figures.size(), static_cast<unsigned long long>(sum.requests), rate,
              sum.cpu_seconds * 1e9 / static_cast<double>(sum.requests), static_cast<unsigned long long>(sum.sleeps));
  std::fflush(stdout);
}

void measure(const Options& options, Server& server, const Workload& workload, unsigned round) {
  const std::string what = std::string("\"keys\": \"") + name_of(workload.keys) + "\", \"writes\": " + std::to_string(workload.writes) +
                           ", \"batch\": " + std::to_string(workload.batch);
  std::vector<Requests> requests;
  for (std::size_t i = 0; i < options.cores.size(); ++i) requests.emplace_back(workload, options.keys, round * 100 + i);
  const auto start = [&](std::size_t thread) {
    return [&, driver = std::make_shared<Driver>(server, static_cast<unsigned>(thread)), mine = &requests[thread]] {
      const Requests::Batch batch = mine->next();
      driver->serve(batch.bytes, batch.reply_bytes);
      return workload.batch;
    };
  };
  // One thread in turns on each of the cores: they need not be equally fast.
  print(what, round, run({options.cores[round % options.cores.size()]}, options.ms, start));
  print(what, round, run(options.cores, options.ms, start));
}

// What two cores give to threads that have nothing to do with each other.
void measure_independent(const Options& options, unsigned round) {
  const auto start = [](std::size_t thread) {
    return [key = HashKey{thread, 2}, text = std::string("key:000000000000")]() mutable {
      constexpr unsigned loops = 64;
      for (unsigned i = 0; i < loops; ++i) {
        const std::uint64_t hash = siphash13(key, text);
        std::memcpy(text.data(), &hash, sizeof hash);
      }
      return loops;
    };
  };
  const std::string what = "\"keys\": \"independent\", \"writes\": 0, \"batch\": 1";
  print(what, round, run({options.cores[round % options.cores.size()]}, options.ms, start));
  print(what, round, run(options.cores, options.ms, start));
}

std::uint32_t number(const char* text) {
  char* end = nullptr;
  const unsigned long value = std::strtoul(text, &end, 10);
  if (*text == '\0' || *end != '\0' || value == 0 || value > 100'000'000) fail(std::string("not a number: ") + text);
  return static_cast<std::uint32_t>(value);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) fail("an option without a value: " + std::string(name));
    const char* const value = argv[i + 1];
    if (name == "--cores") {
      options.cores.clear();
      for (const char* at = value; at != nullptr; at = std::strchr(at, ',')) options.cores.push_back(std::atoi(*at == ',' ? ++at : at));
    } else if (name == "--shards") {
      options.shards = number(value);
    } else if (name == "--keys") {
      options.keys = number(value);
    } else if (name == "--rounds") {
      options.rounds = number(value);
    } else if (name == "--ms") {
      options.ms = number(value);
    } else {
      fail("unknown option " + std::string(name));
    }
  }
  if (options.shards == 0) options.shards = store::shards_for(static_cast<unsigned>(options.cores.size()), 0);
  return options;
}

int run_all(int argc, char** argv) {
  const Options options = parse(argc, argv);
  Server server(options);
  Driver filler(server, 0);
  for (std::uint32_t key = 0; key < options.keys; ++key) filler.serve(set_request(key), 5);
  for (unsigned round = 0; round < options.rounds; ++round) {
    measure_independent(options, round);
    for (const Keys keys : {Keys::kUniform, Keys::kZipf, Keys::kOne}) {
      for (const unsigned writes : {0U, 10U, 50U}) {
        for (const unsigned batch : {1U, 16U}) measure(options, server, {keys, writes, batch}, round);
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace pinfold::scale

int main(int argc, char** argv) { return pinfold::scale::run_all(argc, argv); }
