#include "pinfold/base/page_heap.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <set>
#include <vector>

#include "support/seed.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"

using namespace pinfold;

namespace {

struct Block {
  char* at;
  std::size_t size;
  char mark;
};

bool untouched(const Block& block) {
  return std::all_of(block.at, block.at + block.size, [&](char c) { return c == block.mark; });
}

std::size_t pages_of(const std::vector<Block>& blocks) {
  std::set<std::uintptr_t> pages;
  for (const Block& block : blocks) pages.insert(reinterpret_cast<std::uintptr_t>(block.at) / PageHeap::page);
  return pages.size();
}

}  // namespace

TEST_CASE("small blocks of all sizes do not overlap, each lies in one page, and the account counts the pages in use", "[one-thread]") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  std::mt19937_64 random(seed);
  std::int64_t account = 0;
  PageHeap heap([&](std::int64_t bytes) { account += bytes; }, 16 * PageHeap::page);
  std::vector<Block> blocks;
  const auto free_one = [&] {
    std::swap(blocks[random() % blocks.size()], blocks.back());
    REQUIRE(untouched(blocks.back()));
    heap.free(blocks.back().at, blocks.back().size);
    blocks.pop_back();
  };
  for (int round = 0; round < 20; ++round) {
    const std::size_t wanted = random() % 4'000;
    const std::size_t largest = random() % 4 == 0 ? PageHeap::largest_block : 1024;
    for (int i = 0; i < 8'000; ++i) {
      if (!blocks.empty() && (blocks.size() > wanted || random() % 3 == 0)) {
        free_one();
        continue;
      }
      Block block{nullptr, PageHeap::rounded(random() % largest + 1), static_cast<char>(random())};
      block.at = heap.allocate(block.size);
      REQUIRE(block.at != nullptr);
      const auto first = reinterpret_cast<std::uintptr_t>(block.at);
      REQUIRE(first % PageHeap::unit == 0);
      REQUIRE(first / PageHeap::page == (first + block.size - 1) / PageHeap::page);
      std::memset(block.at, block.mark, block.size);
      blocks.push_back(block);
    }
    REQUIRE(static_cast<std::size_t>(account) == pages_of(blocks) * PageHeap::page);
    if (random() % 2 == 0) heap.release();
    REQUIRE(std::all_of(blocks.begin(), blocks.end(), untouched));
  }
  while (!blocks.empty()) free_one();
  CHECK(account == 0);
}

TEST_CASE("freeing small blocks takes no system call; release gives back pages except the spare ones, a bounded number at a time") {
  PageHeap heap([](std::int64_t) {}, 16 * PageHeap::page);
  std::vector<char*> blocks;
  for (int i = 0; i < 8'000; ++i) blocks.push_back(heap.allocate(1024));
  {
    const work::Counting counting;
    for (char* block : blocks) heap.free(block, 1024);
    CHECK(counting.counts().system_calls == 0);
  }
  CHECK(heap.free_resident() == 2'000 * PageHeap::page);
  std::uint64_t before = heap.free_resident();
  for (bool more = true; more;) {
    more = heap.release();
    CHECK(before - heap.free_resident() <= 64 * PageHeap::page);
    before = heap.free_resident();
  }
  CHECK(heap.free_resident() == 16 * PageHeap::page);
  CHECK_FALSE(heap.release_spare());
  CHECK(heap.free_resident() == 0);
  // Pages that were given back are used again.
  const char* const again = heap.allocate(1024);
  CHECK(std::any_of(blocks.begin(), blocks.end(), [again](const char* old) { return old == again; }));
}

TEST_CASE("moving blocks out of sparse pages leaves few holes") {
  std::int64_t account = 0;
  PageHeap heap([&](std::int64_t bytes) { account += bytes; }, 16 * PageHeap::page);
  std::mt19937_64 random(1);
  std::vector<Block> blocks;
  const auto take = [&](std::size_t size) { blocks.push_back({heap.allocate(size), size, 0}); };
  for (int i = 0; i < 16'000; ++i) take((random() % 8 + 1) * PageHeap::unit);
  CHECK_FALSE(heap.wasteful());
  std::vector<Block> left;
  for (const Block& block : blocks) {
    if (random() % 8 == 0) {
      left.push_back(block);
    } else {
      heap.free(block.at, block.size);
    }
  }
  CHECK(heap.wasteful());
  blocks.clear();
  std::int64_t used = 0;
  for (const Block& block : left) {
    used += static_cast<std::int64_t>(block.size);
    if (!heap.sparse(block.at)) continue;
    take(block.size);
    heap.free(block.at, block.size);
  }
  CHECK_FALSE(heap.wasteful());
  CHECK(account < used * 3 / 2 + 64 * 1024);
}
