// INFO: which sections are shown. How is in info_sections.cpp, and what the figures are in figures.cpp.

#include <algorithm>
#include <string>
#include <vector>

#include "pinfold/base/text.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/info.hpp"
#include "pinfold/command/kept_value.hpp"

namespace pinfold::command {
namespace {

// Sections may be named in any order and more than once; they are shown in their own, once. "default", "all"
// and "everything" are sets of them (the last two differ only in what modules add, of which there are none).
std::vector<const InfoSection*> choose(Args names) {
  const auto named = [&](std::string_view name) {
    return std::ranges::any_of(names, [&](std::string_view one) { return iequals(one, name); });
  };
  const bool all = named("all") || named("everything");
  const bool standard = names.empty() || named("default");
  std::vector<const InfoSection*> chosen;
  for (const InfoSection& section : info_sections()) {
    if (all || (standard && section.by_default) || named(section.name)) chosen.push_back(&section);
  }
  return chosen;
}

// How many clients and users are looked at, one after the other.
std::uint64_t visits(const Engine& engine, const Sections& wanted) {
  const bool users = wanted.test(static_cast<std::size_t>(Section::users));
  return engine.clients.count() + (users ? engine.users.size() : 0);
}

Outcome info(Call& call) {
  constexpr std::size_t most_names = 1024;
  if (call.args.size() - 1 > most_names) return call.reply.error("ERR INFO takes 1024 sections at most");
  const std::vector<const InfoSection*> chosen = choose(call.args.subspan(1));
  Sections wanted;
  for (const InfoSection* section : chosen) wanted.set(static_cast<std::size_t>(section->section));
  const bool many = call.in_transaction && visits(call.engine, wanted) > call.session.group->budget.entries_left();
  if (many) return refuse_beyond_budget(call);
  const Figures figures = collect_figures(call.engine, call.held, call.now, wanted);
  std::string text;
  InfoText lines(text);
  for (const InfoSection* section : chosen) {
    if (!text.empty()) text += "\r\n";
    lines.title(section->title);
    section->write(figures, lines);
  }
  return call.reply.verbatim(text);
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "info", .handler = info, .arity = -1,
     .flags = kLoading | kAllShards | kBeyondNamed, .categories = kDangerous, .touches = Touches::no_key,
     .group = "server", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Tells the state of the server and its statistics, in sections.",
     .syntax = "[section [section ...]]"},
};
// clang-format on

}  // namespace

std::span<const Row> info_commands() { return kRows; }

}  // namespace pinfold::command
