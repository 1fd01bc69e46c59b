#include "pinfold/base/audit_log.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <optional>
#include <utility>

#include "pinfold/base/address.hpp"
#include "pinfold/base/json.hpp"

namespace pinfold {
namespace {

using Kind = AuditLog::Kind;
constexpr auto relaxed = std::memory_order_relaxed;

// In the order of Kind. What a client can repeat as fast as it sends although nothing comes of it is limited, for each source. 60 wrong
// passwords come at once by default (auth-failures-per-minute).
constexpr AuditLog::Event kEvents[] = {
    {Kind::server, "server", 0, 0, false},
    {Kind::connection_accepted, "connection-accepted", 0, 0, true},
    {Kind::connection_refused, "connection-refused", 20, 0, true},
    {Kind::connection_closed, "connection-closed", 0, 0, true},
    {Kind::auth_ok, "auth-ok", 0, 60, false},
    {Kind::auth_failed, "auth-failed", 60, 0, true},
    {Kind::auth_limited, "auth-limited", 5, 0, true},
    {Kind::denied, "denied", 20, 0, true},
    {Kind::administration, "administration", 0, 60, false},
    {Kind::configuration, "configuration", 0, 60, false},
    {Kind::acl, "acl", 0, 60, false},
    {Kind::purge, "purge", 0, 60, false},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < std::size(kEvents); ++i) {
    if (static_cast<std::size_t>(kEvents[i].kind) != i) return false;
    if (std::max(kEvents[i].per_second, kEvents[i].repeated_per_second) > RateWindow::most) return false;
  }
  return std::size(kEvents) == static_cast<std::size_t>(Kind::count);
}
static_assert(in_order(), "the table is in the order of Kind");

const AuditLog::Event& row(Kind kind) { return kEvents[static_cast<std::size_t>(kind)]; }

// The present time in UTC, with microseconds.
std::string time_now() {
  const auto now = std::chrono::system_clock::now();
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  const std::time_t seconds = us / 1'000'000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 96> text{};
  const int size = std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                                 utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, static_cast<int>(us % 1'000'000));
  return {text.data(), static_cast<std::size_t>(size)};
}

}  // namespace

std::span<const AuditLog::Event> AuditLog::events() { return kEvents; }

AuditLine::AuditLine(std::string_view event) {
  text_.reserve(256);
  text_.append("{\"time\":\"").append(time_now()).append("\",\"event\":\"").append(event).append("\"");
}

AuditLine& AuditLine::add(std::string_view name, std::string_view value) {
  constexpr std::size_t longest_value = 768;
  constexpr std::size_t kept_for_the_end = 64;  // "cut" and "seq"
  const std::size_t frame = name.size() + std::string_view(",\"\":\"\"").size();
  if (text_.size() + frame + kept_for_the_end >= AuditLog::longest_line) {
    cut_ = true;
    return *this;
  }
  const std::size_t left = AuditLog::longest_line - kept_for_the_end - frame - text_.size();
  text_.append(",\"").append(name).append("\":\"");
  cut_ |= !append_json_bytes(text_, value, std::min(longest_value, left));
  text_ += '"';
  return *this;
}

AuditLine& AuditLine::add(std::string_view name, std::uint64_t value) {
  text_.append(",\"").append(name).append("\":").append(std::to_string(value));
  return *this;
}

std::string AuditLine::take() {
  if (cut_) text_.append(",\"cut\":true");
  return std::move(text_);
}

void AuditLog::start(Sleeper& writer) {
  windows_ = std::vector<RateWindow>(places);
  waiting_of_ = std::vector<std::uint32_t>(places);
  writer_ = &writer;
}

std::size_t AuditLog::place_of(Kind kind, const Source& source) const {
  const std::optional<std::uint64_t> origin = origin_of(source.address);
  const std::array<std::uint64_t, 4> words = {static_cast<std::uint64_t>(kind), origin ? 1U : 0U, origin.value_or(0),
                                              siphash13(key_, source.user)};
  return siphash13(key_, {reinterpret_cast<const char*>(words.data()), sizeof words}) % places;
}

bool AuditLog::admits(Kind kind, const Source& source, Repeated repeated) {
  const unsigned per_second = repeated == Repeated::yes ? row(kind).repeated_per_second : row(kind).per_second;
  if (per_second == 0 || windows_[place_of(kind, source)].admits(per_second)) return true;
  count_left_out(kind);
  return false;
}

void AuditLog::count_left_out(Kind kind) {
  left_out_.fetch_add(1, relaxed);
  left_out_untold_[static_cast<std::size_t>(kind)].fetch_add(1, relaxed);
}

AuditLine AuditLog::begin(Kind kind) { return AuditLine(row(kind).name); }

void AuditLog::lose() {
  lost_.fetch_add(1, relaxed);
  lost_untold_.fetch_add(1, relaxed);
}

// With the mutex locked.
std::string AuditLog::finished(std::string text) {
  return std::move(text.append(",\"seq\":").append(std::to_string(next_number_++)).append("}\n"));
}

// With the mutex locked.
AuditLog::Room AuditLog::room_for(Kind kind, std::size_t place, std::size_t bytes) const {
  if (waiting_bytes_ + bytes > most_waiting_bytes) return Room::none;
  if (!row(kind).from_outside) return Room::some;
  if (waiting_of_[place] + bytes > most_bytes_of_source) return Room::none_for_source;
  return waiting_bytes_ + bytes > most_bytes_from_outside ? Room::none_for_outside : Room::some;
}

void AuditLog::add(Kind kind, const Source& source, std::string text) {
  // A source from outside has one share for all kinds.
  const std::size_t place = row(kind).from_outside ? place_of(Kind::count, source) : 0;
  const std::size_t bytes = text.size() + sizeof(std::string) + 32;
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    const Room room = room_for(kind, place, bytes);
    if (room == Room::none_for_source) return count_left_out(kind);
    if (room != Room::some) {
      if (room == Room::none) full_.store(true, relaxed);
      return lose();
    }
    first = waiting_.empty();
    waiting_.push_back(finished(std::move(text)));
    waiting_bytes_ += bytes;
    if (row(kind).from_outside) waiting_of_[place] += static_cast<std::uint32_t>(bytes);
  }
  if (first) writer_->wake();
}

// With the mutex locked. The line stands in the file where lines are missing, but for those that wait by now. What it counts is told once
// it is there.
void AuditLog::tell(std::vector<std::string>& lines, AuditLine line, std::atomic<std::uint64_t>& untold) {
  const std::uint64_t count = untold.load(relaxed);
  lines.push_back(finished(line.add("lines", count).take()));
  untold.fetch_sub(count, relaxed);
}

// With the mutex locked.
void AuditLog::tell_missing(std::vector<std::string>& lines, bool all) {
  const auto is_some = [](const std::atomic<std::uint64_t>& untold) { return untold.load(relaxed) != 0; };
  if (is_some(lost_untold_)) tell(lines, AuditLine("lost").add("reason", "they came faster than they could be written"), lost_untold_);
  if (std::none_of(left_out_untold_.begin(), left_out_untold_.end(), is_some)) return;
  if (!all && !tellings_.admits(1)) return;
  for (const Event& event : kEvents) {
    auto& untold = left_out_untold_[static_cast<std::size_t>(event.kind)];
    if (is_some(untold)) tell(lines, AuditLine("left-out").add("of", event.name), untold);
  }
}

std::vector<std::string> AuditLog::take(bool all) {
  std::vector<std::string> lines;
  const std::lock_guard lock(mutex_);
  lines.swap(waiting_);
  waiting_bytes_ = 0;
  std::fill(waiting_of_.begin(), waiting_of_.end(), 0);
  full_.store(false, relaxed);
  try {
    tell_missing(lines, all);
  } catch (const std::bad_alloc&) {  // the counts that are left are told the next time
  }
  return lines;
}

void AuditLog::report(bool written, std::uint64_t lines) {
  failing_.store(!written, relaxed);
  written_.fetch_add(lines, relaxed);
}

}  // namespace pinfold
