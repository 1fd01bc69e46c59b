#include "pinfold/command/script_cache.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "pinfold/base/sha1.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/script/interpreter.hpp"

namespace pinfold::command {

ScriptDigest digest_of(std::string_view body) {
  ScriptDigest digest{};
  const std::string digits = sha1_digits(body);
  std::copy(digits.begin(), digits.end(), digest.begin());
  return digest;
}

std::optional<ScriptDigest> named_digest(std::string_view text) {
  ScriptDigest digest{};
  if (text.size() != digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const char c = text[i];
    digest[i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return digest;
}

namespace {

// Calls `take` for the words of `text`. `take` returns false to end that.
template <class Take>
bool each_word(std::string_view text, Take&& take) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (end > 0 && !take(text.substr(0, end))) return false;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return true;
}

// As in Redis, there may be no flags at all, but nothing between two commas is an error.
std::string read_flags(std::string_view names, std::uint8_t& flags) {
  if (names.empty()) return {};
  for (std::size_t begin = 0, end = 0; end < names.size(); begin = end + 1) {
    end = std::min(names.find(',', begin), names.size());
    const std::string_view name = names.substr(begin, end - begin);
    const std::optional<script::Flag> flag = script::flag_named(name);
    if (!flag) return "ERR Unexpected flag in script shebang: " + excerpt(name);
    flags = static_cast<std::uint8_t>(flags | *flag);
  }
  return {};
}

}  // namespace

std::string read_shebang(std::string_view body, Shebang& shebang) {
  if (!body.starts_with("#!")) return {};
  const std::size_t end = body.find('\n');
  if (end == std::string_view::npos) return "ERR Invalid script shebang";
  shebang.present = true;
  shebang.length = end;
  std::string error;
  bool first = true;
  each_word(body.substr(0, end), [&](std::string_view word) {
    constexpr std::string_view flags = "flags=";
    if (std::exchange(first, false)) {
      if (word != "#!lua") error = "ERR Unexpected engine in script shebang: " + excerpt(word);
    } else if (word.starts_with(flags)) {
      error = read_flags(word.substr(flags.size()), shebang.flags);
    } else {
      error = "ERR Unknown lua shebang option: " + excerpt(word);
    }
    return error.empty();
  });
  return error;
}

std::shared_ptr<Script> ScriptCache::find(const ScriptDigest& digest) const {
  const std::lock_guard lock(mutex_);
  const auto found = scripts_.find(digest);
  return found != scripts_.end() ? found->second : nullptr;
}

std::size_t ScriptCache::size() const {
  const std::lock_guard lock(mutex_);
  return scripts_.size();
}

void ScriptCache::account(std::int64_t bytes) {
  bytes_.fetch_add(static_cast<std::uint64_t>(bytes), std::memory_order_relaxed);
  memory_.add(store::Use::scripts, bytes);
}

void ScriptCache::remove(const ScriptDigest& digest) {
  const auto found = scripts_.find(digest);
  Script& script = *found->second;
  script.cached.store(false, std::memory_order_relaxed);
  if (!script.loaded.load(std::memory_order_relaxed)) --of_eval_;
  account(-static_cast<std::int64_t>(script.memory()));
  scripts_.erase(found);
  removals_.fetch_add(1, std::memory_order_relaxed);
}

bool ScriptCache::remove_oldest_of_eval() {
  if (of_eval_ == 0) return false;
  const Script* oldest = nullptr;
  for (const auto& [digest, script] : scripts_) {
    if (script->loaded.load(std::memory_order_relaxed)) continue;
    if (oldest == nullptr || script->used.load(std::memory_order_relaxed) < oldest->used.load(std::memory_order_relaxed))
      oldest = script.get();
  }
  evicted_.fetch_add(1, std::memory_order_relaxed);
  remove(ScriptDigest(oldest->digest));
  return true;
}

std::shared_ptr<Script> ScriptCache::add(std::shared_ptr<Script> script, bool loaded, std::uint64_t limit, MonoMs now) {
  const std::lock_guard lock(mutex_);
  script->used.store(now.ms, std::memory_order_relaxed);
  if (const auto found = scripts_.find(script->digest); found != scripts_.end()) {
    if (loaded && !found->second->loaded.exchange(true, std::memory_order_relaxed)) --of_eval_;
    found->second->used.store(now.ms, std::memory_order_relaxed);
    return found->second;
  }
  const std::size_t size = script->memory();
  if (size > limit) return script;
  while ((!loaded && of_eval_ >= most_of_eval) || bytes() + size > limit) {
    if (!remove_oldest_of_eval()) return script;
  }
  scripts_.emplace(script->digest, script);
  account(static_cast<std::int64_t>(size));
  script->loaded.store(loaded, std::memory_order_relaxed);
  script->cached.store(true, std::memory_order_relaxed);
  of_eval_ += loaded ? 0 : 1;
  return script;
}

void ScriptCache::flush() {
  std::unordered_map<ScriptDigest, std::shared_ptr<Script>, Hash> removed;
  const std::lock_guard lock(mutex_);
  for (const auto& [digest, script] : scripts_) script->cached.store(false, std::memory_order_relaxed);
  removed.swap(scripts_);
  of_eval_ = 0;
  account(-static_cast<std::int64_t>(bytes()));
  flushed_at_.store(removals_.fetch_add(1, std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace pinfold::command
