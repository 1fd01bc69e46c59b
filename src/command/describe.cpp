#include "pinfold/command/describe.hpp"

#include <algorithm>
#include <array>
#include <iterator>

namespace pinfold::command {

std::vector<std::string_view> flag_names(const Row& row) {
  struct Named {
    std::uint32_t flag;
    std::string_view name;
  };
  constexpr Named table[] = {
      {kWrite, "write"},
      {kReadOnly, "readonly"},
      {kDenyOom, "denyoom"},
      {kAdmin, "admin"},
      {kPubSub, "pubsub"},
      {kNoScript, "noscript"},
      {kLoading, "loading"},
      {kLoading, "stale"},
      {kSkipSlowlog, "skip_slowlog"},
      {kFast, "fast"},
      {kNoAuth, "no_auth"},
      {kNoMulti, "no_multi"},
      {kAllowBusy, "allow_busy"},
      {kStale, "stale"},
      {kRunsScript, "skip_monitor"},
      {kRunsScript, "no_mandatory_keys"},
  };
  std::vector<std::string_view> names;
  for (const Named& entry : table) {
    if ((row.flags & entry.flag) != 0) names.push_back(entry.name);
  }
  if ((row.categories & kBlocking) != 0) names.push_back("blocking");
  bool movable = (row.flags & kMovableKeys) != 0;
  for (const KeySpec& spec : row.keys) movable |= spec.kind == KeySpec::Kind::count || spec.follows_word();
  if (movable) names.push_back("movablekeys");
  return names;
}

namespace {

struct NamedCategory {
  std::string_view name;
  bool (*has)(const Row&);  // null: no command
};

template <std::uint32_t flags>
bool flagged(const Row& row) {
  return (row.flags & flags) != 0;
}
template <std::uint32_t categories>
bool listed(const Row& row) {
  return (row.categories & categories) != 0;
}

constexpr NamedCategory kCategories[] = {
    {"keyspace", listed<kKeyspace>},
    // As in Redis, to run a read-only script is not to read.
    {"read", [](const Row& row) { return flagged<kReadOnly>(row) && !listed<kScripting>(row); }},
    {"write", flagged<kWrite>},
    {"set", listed<kSet>},
    {"sortedset", listed<kSortedSet>},
    {"list", listed<kList>},
    {"hash", listed<kHash>},
    {"string", listed<kString>},
    {"bitmap", listed<kBitmap>},
    {"hyperloglog", listed<kHyperLogLog>},
    {"geo", listed<kGeo>},
    {"stream", nullptr},
    {"pubsub", flagged<kPubSub>},
    {"admin", [](const Row& row) { return flagged<kAdmin>(row) || listed<kAdministrative>(row); }},
    {"fast", flagged<kFast>},
    {"slow", [](const Row& row) { return !flagged<kFast>(row); }},
    {"blocking", listed<kBlocking>},
    {"dangerous", [](const Row& row) { return flagged<kAdmin>(row) || listed<kDangerous>(row); }},
    {"connection", listed<kConnection>},
    {"transaction", listed<kTransaction>},
    {"scripting", listed<kScripting>},
    {"cache", [](const Row& row) { return row.name.starts_with("cache."); }},
};

constexpr auto kCategoryNames = [] {
  std::array<std::string_view, std::size(kCategories)> names;
  std::transform(std::begin(kCategories), std::end(kCategories), names.begin(), [](const NamedCategory& one) { return one.name; });
  return names;
}();

}  // namespace

std::span<const std::string_view> all_categories() { return kCategoryNames; }

bool in_category(const Row& row, std::size_t category) { return kCategories[category].has != nullptr && kCategories[category].has(row); }

std::vector<std::string_view> category_names(const Row& row) {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < std::size(kCategories); ++i) {
    if (in_category(row, i)) names.push_back(kCategories[i].name);
  }
  return names;
}

std::vector<KeySpec> shown_specs(const Row& row) {
  std::vector<KeySpec> specs;
  for (KeySpec spec : row.keys) {
    if (spec.kind == KeySpec::Kind::none) continue;
    for (std::string_view words = spec.word;;) {
      const std::size_t end = words.find(' ');
      spec.word = words.substr(0, end);
      specs.push_back(spec);
      if (end == std::string_view::npos) break;
      words.remove_prefix(end + 1);
    }
  }
  if (row.channels.sharded) specs.push_back(KeySpec::range(KeyUse::peek, row.channels.first, row.channels.last));
  return specs;
}

std::vector<std::string_view> key_use_names(KeyUse use) {
  switch (use) {
    case KeyUse::read:
      return {"RO", "access"};
    case KeyUse::peek:
      return {"RO"};
    case KeyUse::update:
    case KeyUse::lease:
      return {"RW", "update"};
    case KeyUse::modify:
      return {"RW", "access", "update"};
    case KeyUse::write:
      return {"OW", "update"};
    case KeyUse::insert:
      return {"RW", "insert"};
    case KeyUse::create:
      return {"OW", "insert"};
    case KeyUse::remove:
      return {"RM", "delete"};
    case KeyUse::shrink:
      return {"RW", "delete"};
    case KeyUse::count:
      return {"RW", "access"};
    case KeyUse::merge:
      return {"RW", "access", "insert"};
    case KeyUse::set_get:
    case KeyUse::bitfield:
      return {"RW", "access", "update", "variable_flags"};
    case KeyUse::take:
      return {"RW", "access", "delete"};
  }
  return {};
}

}  // namespace pinfold::command
