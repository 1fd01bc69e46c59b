#pragma once
// Whoever asks for the purges of a test.

#include <cstdint>
#include <memory>
#include <string_view>

#include "pinfold/store/purges.hpp"

/// Under it an entry without a deadline can be used for `stale` milliseconds after SOFT.
template <std::uint32_t stale>
std::shared_ptr<pinfold::store::PurgeOwner> purge_owner() {
  class Owner final : public pinfold::store::PurgeOwner {
    std::uint32_t stale_ms(std::string_view) override { return stale; }
    void over(const std::shared_ptr<pinfold::store::Purge>&) noexcept override {}
  };
  static const std::shared_ptr<pinfold::store::PurgeOwner> owner = std::make_shared<Owner>();
  return owner;
}
