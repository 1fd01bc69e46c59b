#include "pinfold/base/words.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "pinfold/base/text.hpp"

namespace pinfold {

std::string excerpt(std::string_view text, std::size_t most) { return std::string(up_to_nul(text.substr(0, most))); }

std::string shown_command(std::string_view name) {
  std::string shown = to_upper(name);
  std::replace(shown.begin(), shown.end(), '|', ' ');
  return shown;
}

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

std::optional<std::string_view> nearest_word(std::string_view word, std::span<const std::string_view> words) {
  constexpr std::size_t longest = 64;
  if (word.size() > longest) return std::nullopt;
  std::optional<std::string_view> nearest;
  std::size_t best = word.size() / 4 + 2;  // a word at this distance or more is a different one
  for (const std::string_view each : words) {
    const std::size_t away = distance(word, each);
    if (away >= best) continue;
    best = away;
    nearest = each;
  }
  return nearest;
}

}  // namespace pinfold
