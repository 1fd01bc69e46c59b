#include "pinfold/admin/status.hpp"

#include <algorithm>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/json.hpp"
#include "pinfold/base/version.hpp"
#include "pinfold/command/diagnosis.hpp"
#include "pinfold/command/figures.hpp"

namespace pinfold::admin {

namespace {

using command::Figure;
using command::Figures;
using command::Section;
using config::Id;

// What sections are made of.
struct Status {
  command::Engine& engine;
  const Figures& figures;
  const command::Past& past;
};

// The longest text of a figure, in bytes. A name of a policy has 64 bytes, and excerpts have 128, each of which may be shown as four.
constexpr std::size_t longest_text = 512;
// Commands, errors: those beyond are left out. There are no more commands than rows in the command table.
constexpr std::size_t most_errors = 128;

// The figures of one table as members of the object at hand.
template <class Of>
void add_figures(JsonWriter& json, std::span<const Figure<Of>> table, const Of& of) {
  for (const Figure<Of>& figure : table) {
    // A constant stands for what Redis has and Pinfold has not.
    const auto add = [&](auto member) {
      if constexpr (std::is_same_v<decltype(member), std::string Of::*>) {
        json.add(figure.name, presentable(of.*member, longest_text));
      } else if constexpr (!std::is_same_v<decltype(member), std::string_view>) {
        json.add(figure.name, of.*member);
      }
    };
    std::visit(add, figure.value);
  }
}

template <class Of>
void object(JsonWriter& json, std::span<const Figure<Of>> table, const Of& of) {
  json.begin_object();
  add_figures(json, table, of);
  json.end_object();
}

template <class Of>
void objects(JsonWriter& json, std::span<const Figure<Of>> table, std::span<const Of> all) {
  json.begin_array();
  for (const Of& of : all) object(json, table, of);
  json.end_array();
}

// The same, for figures whose table does not have what tells one from the others.
template <class Of, class Name>
void named_objects(JsonWriter& json, std::span<const Figure<Of>> table, std::span<const Of> all, Name&& add_name) {
  json.begin_array();
  for (const Of& of : all) {
    json.begin_object();
    add_name(of);
    add_figures(json, table, of);
    json.end_object();
  }
  json.end_array();
}

// --- the sections ---

void server(const Status& status, JsonWriter& json) {
  const command::ServerFigures& figures = status.figures.server;
  json.begin_object()
      .add("version", version)
      .add("run_id", figures.run_id)
      .add("uptime_in_seconds", figures.uptime_seconds)
      .add("io_threads", figures.threads)
      .end_object();
}

void findings(const Status& status, JsonWriter& json) {
  json.begin_array();
  for (const command::Finding& finding : command::diagnose(status.engine, status.figures, status.past)) {
    json.begin_object()
        .add("name", finding.name)
        .add("severity", command::severity_name(finding.severity))
        .add("value", finding.value)
        .add("text", presentable(finding.text, longest_text))
        .add("runbook", finding.runbook)
        .end_object();
  }
  json.end_array();
}

void stats(const Status& status, JsonWriter& json) { object(json, command::stats_figures(), status.figures.stats); }
void clients(const Status& status, JsonWriter& json) { object(json, command::client_figures(), status.figures.clients); }
void memory(const Status& status, JsonWriter& json) { object(json, command::memory_figures(), status.figures.memory); }
void cpu(const Status& status, JsonWriter& json) { object(json, command::cpu_figures(), status.figures.cpu); }
void cache(const Status& status, JsonWriter& json) { object(json, command::cache_figures(), status.figures.cache); }
void tls(const Status& status, JsonWriter& json) { object(json, command::tls_figures(), status.figures.tls); }

// Settings that limit what other sections have.
void limits(const Status& status, JsonWriter& json) {
  const config::Settings& settings = status.engine.settings;
  json.begin_object().add("max_lease_waiters", settings.integer(Id::max_lease_waiters)).end_object();
}

void switches(const Status& status, JsonWriter& json) {
  const command::CacheFigures& cache = status.figures.cache;
  const auto one = [&json](std::string_view name, bool on, const std::string& value, std::uint64_t policies) {
    json.begin_object().add("name", name).add("on", on).add("value", value).add("policies", policies).end_object();
  };
  json.begin_array();
  one("serve-stale", cache.serves_stale != 0, cache.serves_stale != 0 ? "yes" : "no", cache.policies_serving_stale);
  one("bypass", cache.bypass != 0, cache.bypass != 0 ? "yes" : "no", cache.policies_bypassed);
  one("admit", cache.admit_percent < 100, std::to_string(cache.admit_percent) + " %", cache.policies_admitting_part);
  one("max-leases", cache.max_leases == 0, std::to_string(cache.max_leases) + " leases", cache.policies_without_leases);
  json.end_array();
}

void commands(const Status& status, JsonWriter& json) {
  named_objects<command::CommandFigures>(json, command::command_figures(), status.figures.commands,
                                         [&json](const command::CommandFigures& one) { json.add("name", one.name); });
}

// In the last minute.
void latency(const Status& status, JsonWriter& json) {
  json.begin_array();
  for (const command::RecentCalls& calls : command::recent_calls(status.figures, *status.past.figures)) {
    const auto within = [&calls](double percent) { return calls.durations.percentile(percent).seconds(); };
    json.begin_object()
        .add("name", calls.command)
        .add("calls", calls.durations.total)
        .add("p50", within(50))
        .add("p99", within(99))
        .add("p999", within(99.9))
        .add("longest", within(100))
        .end_object();
  }
  json.end_array();
}

void policies(const Status& status, JsonWriter& json) {
  named_objects<command::PolicyFigures>(
      json, command::policy_figures(), status.figures.policies,
      [&json](const command::PolicyFigures& one) { json.add("match", presentable(one.match, longest_text)); });
}

void threads(const Status& status, JsonWriter& json) {
  named_objects<command::ThreadFigures>(json, command::thread_figures(), status.figures.threads,
                                        [&json](const command::ThreadFigures& one) { json.add("number", one.number); });
}

// The first of them: those whose clients take most memory.
void users(const Status& status, JsonWriter& json) {
  constexpr std::size_t most_users = 64;
  const std::span all(status.figures.users);
  objects<command::UserFigures>(json, command::user_figures(), all.first(std::min(all.size(), most_users)));
}

// The newest entries. Of a request its name and its first argument, which mostly is a key: values stay where they are.
void slow_log(const Status& status, JsonWriter& json) {
  constexpr std::size_t most_entries = 16;
  constexpr std::size_t words_shown = 2;
  json.begin_array();
  for (const command::CommandLog::Pointer& entry : status.engine.command_log.newest(command::CommandLog::Kind::slow, most_entries)) {
    std::string request;
    for (std::size_t i = 0; i < std::min(entry->words.count(), words_shown); ++i) {
      request.append(i > 0 ? " " : "").append(presentable(entry->words[i], longest_text / 4));
    }
    if (entry->words.count() > words_shown) request.append(" ...");
    json.begin_object()
        .add("id", entry->id)
        .add("at", entry->unix_s)
        .add("seconds", static_cast<double>(entry->value) / 1e6)
        .add("waited", static_cast<double>(entry->locks_us + entry->room_us) / 1e6)
        .add("request", request)
        .add("client", presentable(entry->address, longest_text))
        .end_object();
  }
  json.end_array();
}

void keys(const Status& status, JsonWriter& json) { object(json, command::key_figures(), status.figures.keys); }
void working_set(const Status& status, JsonWriter& json) { object(json, command::working_set_figures(), status.figures.working_set); }

// Those that were asked for most in the last five seconds.
void hot_keys(const Status& status, JsonWriter& json) {
  constexpr std::size_t most_keys = 16;
  const command::Accesses::Report report = status.engine.accesses.report(monotonic_ms());
  json.begin_array();
  for (const command::CountedKey& key : std::span(report.keys).first(std::min(report.keys.size(), most_keys))) {
    json.begin_object()
        .add("db", key.db)
        .add("key", presentable(key.name, longest_text) + (key.cut ? "..." : ""))
        .add("rate", report.rate(key))
        .add("share", report.share(key))
        .end_object();
  }
  json.end_array();
}

void databases(const Status& status, JsonWriter& json) {
  named_objects<command::DatabaseFigures>(json, command::database_figures(), status.figures.databases,
                                          [&json](const command::DatabaseFigures& one) { json.add("number", one.number); });
}

void errors(const Status& status, JsonWriter& json) {
  const std::span<const command::ErrorFigures> all = status.figures.errors;
  named_objects<command::ErrorFigures>(
      json, command::error_figures(), all.first(std::min(all.size(), most_errors)),
      [&json](const command::ErrorFigures& one) { json.add("code", presentable(one.code, longest_text)); });
}

// A section: its name in the object, the figures that it needs, and what writes its value. A section that is not there is not shown.
struct Part {
  std::string_view name;
  Section needs;
  void (*write)(const Status&, JsonWriter&);
};
// clang-format off
constexpr Part kParts[] = {
    {"server", Section::server, server},
    {"findings", Section::policies, findings},
    {"stats", Section::stats, stats},
    {"clients", Section::clients, clients},
    {"memory", Section::memory, memory},
    {"cpu", Section::cpu, cpu},
    {"cache", Section::cache, cache},
    {"limits", Section::cache, limits},
    {"switches", Section::cache, switches},
    {"tls", Section::tls, tls},
    {"latency", Section::commands, latency},
    {"commands", Section::commands, commands},
    {"policies", Section::policies, policies},
    {"threads", Section::threads, threads},
    {"slow_log", Section::stats, slow_log},
    {"keys", Section::keys, keys},
    {"hot_keys", Section::keys, hot_keys},
    {"working_set", Section::working_set, working_set},
    {"users", Section::users, users},
    {"databases", Section::keyspace, databases},
    {"errors", Section::errors, errors},
};
// clang-format on

}  // namespace

std::string status_json(command::Engine& engine) {
  command::Sections wanted = command::sections_of_diagnosis();
  for (const Part& part : kParts) wanted.set(static_cast<std::size_t>(part.needs));
  const store::Keyspace::Locks none(engine.keyspace);
  const std::int64_t at_us = monotonic_us();
  const Figures figures = command::collect_figures(engine, none, unix_ms(), wanted);
  const command::Past past = command::past_of(engine);
  const Status status{engine, figures, past};
  JsonWriter json;
  json.begin_object().add("at_us", at_us);
  for (const Part& part : kParts) {
    json.key(part.name);
    part.write(status, json);
  }
  return std::move(json.end_object()).text();
}

const std::string& recent_status_json(command::Engine& engine) {
  struct Recent {
    std::string run_id;
    std::int64_t at_us = 0;
    std::string text;
  };
  constexpr std::int64_t fresh_us = 1'000'000;
  static thread_local Recent recent;
  const std::int64_t now_us = monotonic_us();
  if (recent.run_id != engine.run_id || now_us - recent.at_us >= fresh_us) {
    recent.text = status_json(engine);
    recent.run_id = engine.run_id;
    recent.at_us = now_us;
  }
  return recent.text;
}

}  // namespace pinfold::admin
