#pragma once
// The pages of the admin port: one table with a row for each. The next page is a function and a row in src/admin/pages.cpp.
//
// The server (admin_server.hpp) does the rest for all of them: it asks for the token, answers HEAD, and adds the headers that keep browsers
// from doing more with a page than show it. Scripts and styles come from this port alone, so they are pages of their own: an HTML page
// cannot have them inline (Content-Security-Policy).

#include <span>
#include <string>
#include <string_view>

#include "pinfold/command/engine.hpp"

namespace pinfold::admin {

/// What a page is made from.
struct PageRequest {
  command::Engine& engine;
  std::string_view not_ready;  // why clients are not served, in words; empty: they are
};

struct Page {
  std::string body;
  unsigned status = 200;
};

struct Route {
  std::string_view path;
  std::string_view type;  // Content-Type
  /// Called by the thread of the admin port, with nothing locked. May throw std::bad_alloc. While it runs, no other page is made, so it
  /// takes milliseconds.
  Page (*make)(const PageRequest&);
  bool open = false;  // without the token, and for whoever reaches the port: it tells nothing but whether the server is there
};

/// All of them.
std::span<const Route> routes();

}  // namespace pinfold::admin
