#pragma once
// The status page: what an operator looks at first. It is three files (src/admin/status.html, .css and .js), which are built into the
// program, and which ask for the numbers every two seconds (status_json).

#include <cstddef>
#include <string>
#include <string_view>

#include "pinfold/command/engine.hpp"

namespace pinfold::admin {

/// The numbers of the status page, as one object. Each of its members is a section (src/admin/status.cpp has the list), and the page shows
/// those that are there. Figures have the names and units of INFO. Texts of clients are presentable() (base/json.hpp).
///
/// At most 512 KB, whatever the names are; 110 KB with 250 policies and 200 users. Collects what the sections need: O(clients + shards +
/// policies + users). Throws std::bad_alloc.
std::string status_json(command::Engine& engine);

/// The same, not more than a second old. Any number of pages that ask at once cost as much as one. For one thread, which keeps the text.
const std::string& recent_status_json(command::Engine& engine);

constexpr std::size_t largest_status = 512 * 1024;

// The files of the page.
std::string_view status_html();
std::string_view status_css();
std::string_view status_js();

}  // namespace pinfold::admin
