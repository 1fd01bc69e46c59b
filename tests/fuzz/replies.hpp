#pragma once
// Checks that what was written to a client is whole replies in RESP2 or RESP3.

#include <cstddef>
#include <optional>
#include <string_view>

namespace fuzz {

/// How many replies `text` consists of; nothing if it is no sequence of whole replies.
std::optional<std::size_t> count_replies(std::string_view text);

}  // namespace fuzz
