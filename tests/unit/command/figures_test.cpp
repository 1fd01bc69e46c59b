#include "pinfold/command/figures.hpp"

#include <set>

#include "harness.hpp"

#include <catch2/catch.hpp>

#include "pinfold/command/info.hpp"

using namespace pinfold;
using namespace pinfold::command;

namespace {

Figures collect(Server& server, std::initializer_list<Section> sections) {
  Sections wanted;
  for (const Section section : sections) wanted.set(static_cast<std::size_t>(section));
  const store::Keyspace::Locks held(server.keyspace);
  return collect_figures(server.engine, held, server.now, wanted);
}

template <class Of>
void add_names(std::vector<std::string>& names, std::span<const Figure<Of>> figures) {
  for (const Figure<Of>& figure : figures) names.emplace_back(figure.name);
}

// Of all figures that stand on a line of their own.
std::vector<std::string> all_names() {
  std::vector<std::string> names;
  add_names(names, server_figures());
  add_names(names, client_figures());
  add_names(names, memory_figures());
  add_names(names, persistence_figures());
  add_names(names, stats_figures());
  add_names(names, replication_figures());
  add_names(names, cpu_figures());
  add_names(names, cache_figures());
  add_names(names, tls_figures());
  add_names(names, script_figures());
  add_names(names, cluster_figures());
  return names;
}

std::size_t count_of(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("figures: each has a name of its own, and INFO shows each once") {
  const std::vector<std::string> names = all_names();
  CHECK(names.size() > 100);
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == names.size());
  Server server;
  Client client(server);
  const std::string info = client.run("INFO", "everything");
  for (const std::string& name : names) {
    INFO(name);
    CHECK(count_of(info, "\n" + name + ":") == 1);
  }
}

TEST_CASE("figures: only what is wanted is collected") {
  Server server;
  Client client(server);
  client.run("SET", "k", "v");
  client.run("GET", "k");
  client.run("NOSUCH");
  const Figures none = collect(server, {});
  CHECK(none.server.run_id == server.engine.run_id);
  CHECK(none.server.process == 0);
  CHECK(none.clients.connected == 0);
  CHECK(none.memory.used == 0);
  CHECK(none.stats.commands == 0);
  CHECK(none.cpu.user == 0);
  CHECK(none.cache.leases == 0);
  CHECK((none.commands.empty() && none.holds.empty() && none.errors.empty() && none.databases.empty()));
  const Figures some = collect(server, {Section::stats, Section::keyspace});
  CHECK(some.stats.hits == 1);
  CHECK(some.databases.size() == 1);
  CHECK(some.memory.used == 0);
  CHECK(some.commands.empty());
}

TEST_CASE("figures: they are what the server has done and holds") {
  Server server;
  Client client(server);
  Client other(server);
  client.run("SET", "k", "v");
  client.run("SELECT", "3");
  client.run("SET", "l", "v", "PX", "100000");
  client.run("GET", "l");
  client.run("GET", "missing");
  client.run("CACHE.GET", "leased", "LEASE", "1000");
  client.run("NOSUCH");
  client.run("INCR", "l");
  const Figures figures = collect(server, {Section::server, Section::clients, Section::memory, Section::stats, Section::cache,
                                           Section::commands, Section::errors, Section::keyspace});
  CHECK(figures.server.threads == 1);
  CHECK(figures.server.pointer_bits == 64);
  CHECK(figures.clients.connected == 2);
  CHECK(figures.clients.most == server.settings.show(config::Id::maxclients));
  const MemoryFigures& memory = figures.memory;
  const std::uint64_t data = memory.segments + memory.blobs + memory.index + memory.ghosts + memory.coalescing;
  CHECK(memory.used == data + memory.clients + memory.sampling);
  CHECK(memory.used == memory.dataset + memory.overhead);
  CHECK(memory.peak >= memory.used);
  CHECK(memory.resident > 0);
  CHECK(memory.fragmentation_bytes == static_cast<std::int64_t>(memory.resident) - static_cast<std::int64_t>(memory.used));
  CHECK(memory.evicts == 1);
  CHECK(figures.stats.hits == 1);
  CHECK(figures.stats.misses == 2);
  CHECK(figures.stats.error_replies == 2);
  CHECK(figures.cache.granted == 1);
  CHECK(figures.cache.leases == 1);
  REQUIRE(figures.databases.size() == 2);
  CHECK(figures.databases[0].number == 0);
  CHECK(figures.databases[0].expiring == 0);
  CHECK(figures.databases[1].number == 3);
  CHECK(figures.databases[1].keys == 1);
  CHECK(figures.databases[1].expiring == 1);
  CHECK(figures.databases[1].average_ttl_ms == 100'000);
  REQUIRE(figures.errors.size() == 1);
  CHECK(figures.errors[0].code == "ERR");
  CHECK(figures.errors[0].count == 2);
  const auto set =
      std::find_if(figures.commands.begin(), figures.commands.end(), [](const CommandFigures& one) { return one.name == "set"; });
  REQUIRE(set != figures.commands.end());
  CHECK(set->calls == 2);
  CHECK(set->failed == 0);
}

namespace {

MemoryFigures memory_figures(Server& server) { return collect_memory_figures(server.engine, store::Keyspace::Locks(server.keyspace)); }

}  // namespace

TEST_CASE("figures: nothing may be evicted under noeviction, and under a volatile policy while no key has a deadline") {
  Server server;
  Client client(server);
  client.run("SET", "k", "v");
  CHECK(memory_figures(server).evicts == 1);
  server.keyspace.set_policy(eviction::Kind::volatile_lru);
  CHECK(memory_figures(server).evicts == 0);
  client.run("EXPIRE", "k", "100");
  CHECK(memory_figures(server).evicts == 1);
  client.run("DEL", "k");
  CHECK(memory_figures(server).evicts == 0);
  client.run("MULTI");
  client.run("MEMORY", "DOCTOR");
  client.run("FLUSHALL");
  CHECK_THAT(client.run("EXEC"), Catch::Matchers::Contains("+OK"));  // all shards are locked when the doctor looks
}

TEST_CASE("figures: data may take what the limit leaves beside what is in no account") {
  Server server;
  store::Memory& memory = server.keyspace.memory();
  memory.set_limit(64 << 20);
  memory.observe_growth(memory.used() + (1 << 30));
  const MemoryFigures figures = memory_figures(server);
  CHECK(figures.unaccounted > 0);
  CHECK(figures.data_limit == figures.limit - figures.unaccounted);
  memory.set_limit(0);
  CHECK(memory_figures(server).data_limit == 0);
  server.keyspace.set_policy(eviction::Kind::noeviction);
  CHECK(memory_figures(server).evicts == 0);
}

TEST_CASE("figures: a limit on clients that there is not is none") {
  Server server;
  server.set(config::Id::maxmemory_clients, "0");
  CHECK(memory_figures(server).clients_share == 0);
  server.set(config::Id::maxmemory_clients, "1mb");
  CHECK(memory_figures(server).clients_share == 1024 * 1024);
}

TEST_CASE("figures: INFO shows a figure as suits its unit") {
  MemoryFigures memory;
  memory.used = 1536;
  memory.peak_percentage = 50;
  memory.fragmentation = 1.237;
  memory.fragmentation_bytes = -7;
  memory.policy = "noeviction";
  std::string text;
  InfoText(text).lines(memory, memory_figures());
  CHECK(text.starts_with("used_memory:1536\r\nused_memory_human:1.50K\r\n"));
  CHECK(text.find("used_memory_peak_perc:50.00%\r\n") != std::string::npos);
  CHECK(text.find("mem_fragmentation_ratio:1.24\r\n") != std::string::npos);
  CHECK(text.find("mem_fragmentation_bytes:-7\r\n") != std::string::npos);
  CHECK(text.find("maxmemory_policy:noeviction\r\n") != std::string::npos);
  CHECK(text.find("mem_allocator:libc\r\n") != std::string::npos);
  text.clear();
  InfoText(text).lines(CpuFigures{.system = 0.5, .user = 1.25, .system_of_children = 0, .user_of_children = 0}, cpu_figures());
  CHECK(text.starts_with("used_cpu_sys:0.500000\r\nused_cpu_user:1.250000\r\n"));
  text.clear();
  InfoText(text).row("cmdstat_get", CommandFigures{"get", 10, 25, 2.5, 1, 2, {}}, command_figures());
  CHECK(text == "cmdstat_get:calls=10,usec=25,usec_per_call=2.50,rejected_calls=1,failed_calls=2\r\n");
}

TEST_CASE("figures: the codes of errors are bounded on all threads together, and nobody crowds out the server's own") {
  Stats stats(4);
  for (int i = 0; i < 1000; ++i) stats.of_thread(static_cast<unsigned>(i % 4)).errors.add("CODE" + std::to_string(i));
  stats.of_admin().errors.add(std::string(33, 'x'));
  stats.of_admin().errors.add("");
  stats.of_thread(3).errors.add("OOM");
  const auto errors = stats.errors();
  CHECK(errors.size() == ErrorCodes::most_invented + 2);
  CHECK(errors.at("OOM") == 1);
  CHECK(errors.at("OTHER") == 1002 - ErrorCodes::most_invented);
  CHECK(stats.error_total() == 1003);
  stats.of_thread(1).errors.add("CODE0");  // thread 0 has met it, and every other counts it as well
  CHECK(stats.errors().at("CODE0") == 2);
  stats.reset();
  CHECK(stats.errors().empty());
  stats.of_thread(2).errors.add("CODE999");
  CHECK(stats.errors().at("CODE999") == 1);
}
