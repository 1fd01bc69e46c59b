#include "pinfold/command/client_tracking.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/base/words.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/tracking.hpp"

namespace pinfold::command {
namespace {

// Of one client, so that none of what they are taken, compared, shown and ended by takes long.
constexpr std::size_t most_prefixes = 512;

// The client to which invalidations are to be redirected; nothing after an error.
std::optional<ClientPlace> take_redirect(Call& call, Cursor& options) {
  const std::optional<std::int64_t> id = options.take_integer();
  if (!id) {
    call.not_an_integer();
    return std::nullopt;
  }
  std::optional<ClientPlace> found;
  call.engine.clients.with(static_cast<std::uint64_t>(*id), [&](SharedClient& client) {
    client.redirect_target.store(true, std::memory_order_relaxed);
    found = client.place();
  });
  if (!found) call.reply.error("ERR The client ID you want redirect to does not exist");
  return found;
}

// The options behind ON or OFF; nothing after an error.
std::optional<TrackingRequest> parse_options(Call& call, Cursor& options) {
  TrackingRequest request;
  while (!options.done()) {
    if (options.take_with_value("REDIRECT")) {
      if (request.redirect) {
        call.reply.error("ERR A client can only redirect to a single other client");
        return std::nullopt;
      }
      request.redirect = take_redirect(call, options);
      if (!request.redirect) return std::nullopt;
    } else if (options.take_with_value("PREFIX")) {
      request.prefixes.push_back(options.take());
    } else if (options.take("BCAST")) {
      request.bcast = true;
    } else if (options.take("OPTIN")) {
      request.optin = true;
    } else if (options.take("OPTOUT")) {
      request.optout = true;
    } else if (options.take("NOLOOP")) {
      request.noloop = true;
    } else {
      call.syntax_error();
      return std::nullopt;
    }
  }
  return request;
}

bool overlap(std::string_view a, std::string_view b) { return a.starts_with(b) || b.starts_with(a); }

std::string overlap_error(std::string_view prefix, std::string_view with, std::string_view what) {
  return "ERR Prefix '" + excerpt(prefix) + "' overlaps with " + std::string(what) + " prefix '" + excerpt(with) +
         "'. Prefixes for a single client must not overlap.";
}

// The first of the client's prefixes, in their order, that overlaps with this one. They overlap with each other only if one of them is
// empty, so that the only ones to look at are this one, the one before the place where it would be, and the one behind.
std::optional<std::string_view> overlapping(std::string_view prefix, const Tracking& before) {
  const auto& all = before.prefixes;
  if (!all.empty() && all.begin()->empty()) return *all.begin();
  const auto next = all.lower_bound(prefix);
  if (next != all.begin() && prefix.starts_with(*std::prev(next))) return *std::prev(next);
  if (next != all.end() && next->starts_with(prefix)) return *next;
  return std::nullopt;
}

// The first of these prefixes that overlaps with another one of them; their number if there is none. In sorted order, what begins with a
// text follows it. O(n log n).
std::size_t first_overlapping(const std::vector<std::string_view>& prefixes) {
  std::vector<std::size_t> sorted(prefixes.size());
  std::iota(sorted.begin(), sorted.end(), std::size_t{0});
  std::ranges::sort(sorted, [&](std::size_t a, std::size_t b) { return std::pair(prefixes[a], a) < std::pair(prefixes[b], b); });
  std::size_t first = prefixes.size();
  std::size_t shortest = 0;  // the index in `sorted` of the last one that does not begin with another
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (prefixes[sorted[i]].starts_with(prefixes[sorted[shortest]])) {
      first = std::min({first, sorted[i], sorted[shortest]});
    } else {
      shortest = i;
    }
  }
  return first;
}

// A client gets one message for each change of a key, so its prefixes must not overlap.
std::optional<std::string> overlapping(const TrackingRequest& request, const Tracking* before) {
  const std::size_t first = first_overlapping(request.prefixes);
  for (std::size_t i = 0; i < request.prefixes.size(); ++i) {
    const std::string_view prefix = request.prefixes[i];
    if (before != nullptr) {
      if (const auto other = overlapping(prefix, *before)) return overlap_error(prefix, *other, "an existing");
    }
    if (i < first) continue;
    for (std::size_t j = i + 1; j < request.prefixes.size(); ++j) {
      if (overlap(prefix, request.prefixes[j])) return overlap_error(prefix, request.prefixes[j], "another provided");
    }
  }
  return std::nullopt;
}

// Why the client cannot track as it asks; nothing if it can. The options are those of Redis, in its order.
std::optional<std::string> contradiction(const TrackingRequest& request, const Tracking* before) {
  if (!request.bcast && !request.prefixes.empty()) return "ERR PREFIX option requires BCAST mode to be enabled";
  if (before != nullptr && before->bcast != request.bcast) {
    return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different "
           "mode.";
  }
  if (request.bcast && (request.optin || request.optout)) return "ERR OPTIN and OPTOUT are not compatible with BCAST";
  if (request.optin && request.optout) return "ERR You can't specify both OPTIN mode and OPTOUT mode";
  if (before != nullptr && ((request.optin && before->optout) || (request.optout && before->optin))) {
    return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different "
           "mode.";
  }
  if (request.prefixes.size() + (before != nullptr ? before->prefixes.size() : 0) > most_prefixes) {
    return "ERR A client can track " + std::to_string(most_prefixes) + " prefixes at most";
  }
  return request.bcast ? overlapping(request, before) : std::nullopt;
}

}  // namespace

Outcome client_tracking(Call& call) {
  Cursor options(call.args, 2);
  const std::string_view mode = options.take();
  const std::optional<TrackingRequest> request = parse_options(call, options);
  if (!request) return Outcome::done;
  const bool off = iequals(mode, "OFF");
  if (!off && !iequals(mode, "ON")) return call.syntax_error();
  const Tracking* const before = call.session.tracking.get();
  if (off) {
    end_tracking(call.session, call.engine);
    return call.reply.ok();
  }
  if (const auto error = contradiction(*request, before)) return call.reply.error(*error);
  if (const auto error = begin_tracking(call, *request)) return call.reply.error(*error);
  return call.reply.ok();
}

Outcome client_caching(Call& call) {
  Tracking* const tracking = call.session.tracking.get();
  if (tracking == nullptr) {
    return call.reply.error("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled");
  }
  Cursor option(call.args, 2);
  if (option.take("YES")) {
    if (!tracking->optin) return call.reply.error("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
  } else if (option.take("NO")) {
    if (!tracking->optout) return call.reply.error("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
  } else {
    return call.syntax_error();
  }
  tracking->caching = true;
  return call.reply.ok();
}

namespace {
resp::Written reply_redirect(Call& call) {
  const Tracking* const tracking = call.session.tracking.get();
  if (tracking == nullptr) return call.reply.integer(-1);
  return call.reply.integer(tracking->redirect ? static_cast<std::int64_t>(tracking->redirect->client) : 0);
}
}  // namespace

Outcome client_getredir(Call& call) { return reply_redirect(call); }

Outcome client_trackinginfo(Call& call) {
  const Tracking* const tracking = call.session.tracking.get();
  std::array<std::string_view, 8> flags;
  std::size_t count = 0;
  const auto flag = [&](std::string_view name, bool set) {
    if (set) flags[count++] = name;
  };
  flag("off", tracking == nullptr);
  if (tracking != nullptr) {
    flag("on", true);
    flag("bcast", tracking->bcast);
    flag("optin", tracking->optin);
    flag("caching-yes", tracking->optin && tracking->caching);
    flag("optout", tracking->optout);
    flag("caching-no", tracking->optout && tracking->caching);
    flag("noloop", tracking->noloop);
    flag("broken_redirect", tracking->broken);
  }
  call.reply.map(3);
  call.reply.bulk("flags");
  call.reply.set(count);
  for (std::size_t i = 0; i < count; ++i) call.reply.bulk(flags[i]);
  call.reply.bulk("redirect");
  reply_redirect(call);
  call.reply.bulk("prefixes");
  call.reply.array(tracking != nullptr ? tracking->prefixes.size() : 0);
  if (tracking != nullptr) {
    for (const std::string& prefix : tracking->prefixes) call.reply.bulk(prefix);
  }
  return Outcome::done;
}

}  // namespace pinfold::command
