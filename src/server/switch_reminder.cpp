#include "pinfold/server/switch_reminder.hpp"

#include <algorithm>
#include <mutex>
#include <span>
#include <utility>

namespace pinfold::server {

namespace {

constexpr std::string_view bypass_means = "reads find nothing and writes store nothing, so each goes to the origin";
constexpr std::string_view admit_means = "other keys that are not stored yet are not stored";
constexpr std::string_view serve_stale_means = "entries outlast their deadlines";
constexpr std::string_view no_leases_means = "clients that load only with a lease load nothing";

void add(std::string& text, const std::string& what, std::string_view means) {
  text.append(text.empty() ? "" : "; ").append(what).append(" (").append(means).append(")");
}

// The switches of one policy: "bypass, admit 10%".
std::string switches_of(const cache::Policy& policy) {
  std::string text;
  const auto name = [&text](const std::string& what) { text.append(text.empty() ? "" : ", ").append(what); };
  if (policy.bypass) name("bypass");
  if (policy.admit_percent < 100) name("admit " + cache::show_field(policy, "admit"));
  if (policy.serve_stale) name("serve-stale");
  if (policy.max_leases == 0) name("max-leases none");
  return text;
}

}  // namespace

std::string switches_that_are_on(command::Engine& engine) {
  using config::Id;
  const config::Settings& settings = engine.settings;
  std::string text;
  if (settings.flag(Id::bypass)) add(text, "bypass", bypass_means);
  const std::int64_t admit = settings.integer(Id::admit);
  if (admit < 100) add(text, "admit " + std::to_string(admit) + "%", admit_means);
  if (settings.flag(Id::serve_stale)) add(text, "serve-stale", serve_stale_means);
  if (settings.integer(Id::max_leases) == 0) add(text, "max-leases 0", no_leases_means);
  constexpr unsigned most_named = 5;
  unsigned switched = 0;
  const cache::PolicySet* const policies = engine.cache.policies();
  for (const cache::Policy& policy : policies != nullptr ? policies->all() : std::span<const cache::Policy>()) {
    const std::string own = switches_of(policy);
    if (own.empty() || ++switched > most_named) continue;
    add(text, "policy '" + policy.name + "'", own);
  }
  if (switched > most_named) text += "; and " + std::to_string(switched - most_named) + " more policies";
  return text;
}

void SwitchReminder::look(MonoMs now) {
  constexpr std::int64_t hour_ms = 3'600'000;
  std::string text;
  {
    const std::unique_lock lock(engine_.cache.policies_mutex(), std::try_to_lock);
    if (!lock) return;
    text = switches_that_are_on(engine_);
  }
  const bool changed = text != told_;
  if (!changed && (text.empty() || now - told_at_ < hour_ms)) return;
  engine_.events.note(EventLog::Kind::switches, [&] {
    if (text.empty()) return std::string("no switch for an incident is on any more");
    return (changed ? "switches for an incident are on: " : "switches for an incident are still on: ") + text;
  });
  told_ = std::move(text);
  told_at_ = now;
}

}  // namespace pinfold::server
