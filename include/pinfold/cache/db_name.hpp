#pragma once
// Names of keys or tags together with their database's number, for ordered maps. A search needs only a view: it makes
// no string and allocates nothing.

#include <string>
#include <string_view>
#include <utility>

namespace pinfold::cache {

using DbName = std::pair<unsigned, std::string>;
using DbNameView = std::pair<unsigned, std::string_view>;

/// Orders names by database, then by bytes.
struct DbNameLess {
  using is_transparent = void;
  static DbNameView view(const DbName& name) { return {name.first, name.second}; }
  static DbNameView view(const DbNameView& name) { return name; }
  bool operator()(const auto& a, const auto& b) const { return view(a) < view(b); }
};

}  // namespace pinfold::cache
