#include "pinfold/command/describe.hpp"

namespace pinfold::command {

std::vector<std::string_view> flag_names(const Row& row) {
  struct Named {
    std::uint32_t flag;
    std::string_view name;
  };
  constexpr Named table[] = {
      {kWrite, "write"},          {kReadOnly, "readonly"},          {kDenyOom, "denyoom"},
      {kAdmin, "admin"},          {kNoScript, "noscript"},          {kLoading, "loading"},
      {kLoading, "stale"},        {kSkipSlowlog, "skip_slowlog"},   {kFast, "fast"},
      {kNoAuth, "no_auth"},       {kMayReplicate, "may_replicate"}, {kNoMulti, "no_multi"},
      {kAllowBusy, "allow_busy"},
  };
  std::vector<std::string_view> names;
  for (const Named& entry : table) {
    if ((row.flags & entry.flag) != 0) names.push_back(entry.name);
  }
  bool movable = (row.flags & kMovableKeys) != 0;
  for (const KeySpec& spec : row.keys) movable |= spec.kind == KeySpec::Kind::count;
  if (movable) names.push_back("movablekeys");
  return names;
}

std::vector<std::string_view> category_names(const Row& row) {
  const auto has = [&](std::uint32_t flag) { return (row.flags & flag) != 0; };
  const auto in = [&](std::uint32_t category) { return (row.categories & category) != 0; };
  std::vector<std::string_view> names;
  const auto add = [&](bool applies, std::string_view name) {
    if (applies) names.push_back(name);
  };
  add(in(kKeyspace), "keyspace");
  add(has(kReadOnly), "read");
  add(has(kWrite), "write");
  add(in(kString), "string");
  add(in(kBitmap), "bitmap");
  add(has(kAdmin) || in(kAdministrative), "admin");
  add(has(kFast), "fast");
  add(!has(kFast), "slow");
  add(has(kAdmin) || in(kDangerous), "dangerous");
  add(in(kConnection), "connection");
  add(in(kTransaction), "transaction");
  return names;
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
    case KeyUse::set_get:
    case KeyUse::bitfield:
      return {"RW", "access", "update", "variable_flags"};
    case KeyUse::take:
      return {"RW", "access", "delete"};
  }
  return {};
}

}  // namespace pinfold::command
