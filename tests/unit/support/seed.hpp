#pragma once
// The seed of a random test: another one in each run, or the one in PINFOLD_SEED, to repeat a run.

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

inline std::uint64_t test_seed() {
  if (const char* given = std::getenv("PINFOLD_SEED")) return std::strtoull(given, nullptr, 10);
  return std::random_device{}();
}

inline std::string seed_note(std::uint64_t seed) { return "repeat with PINFOLD_SEED=" + std::to_string(seed); }
