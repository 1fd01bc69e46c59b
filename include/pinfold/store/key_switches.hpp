#pragma once
// Switches for an incident that decide, key by key, whether the store is used at all (docs/cache-commands.md, "Switches"). The
// store asks them, so it need not know policies. Database obeys them in every look-up and every write, so no command can forget
// them.

#include "pinfold/store/value.hpp"

namespace pinfold::store {

/// Called with the key's shard locked, by the thread that reads or writes. So an implementation must do little and take no
/// memory. It exists only while a switch is on (Keyspace::set_key_switches), so without switches the store pays one comparison.
class KeySwitches {
 public:
  virtual ~KeySwitches() = default;

  /// Whether look-ups do not find the key, and writes remove it instead of storing a value (bypass).
  virtual bool bypasses(const Key& key) const = 0;
  /// Whether the key may be stored if it is not stored yet (admit).
  virtual bool admits(const Key& key) const = 0;

  enum class Event : unsigned {
    read_bypassed,       // a look-up that counts as a miss has not found the key because of bypass
    write_bypassed,      // a write has removed the key instead of storing a value
    write_not_admitted,  // a write of a key that was not stored has stored nothing
  };
  /// Counts an event.
  virtual void count(const Key& key, Event event) const = 0;
};

}  // namespace pinfold::store
