// What prepares memory before a lock is taken has been refused it: then nobody asks the system again with the lock held.

#include <cstdint>
#include <fstream>

#include <sys/resource.h>

#include <catch2/catch.hpp>

#include "pinfold/base/block_heap.hpp"
#include "pinfold/base/page_heap.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/store/memory.hpp"
#include "pinfold/store/segment.hpp"

using namespace pinfold;
using namespace pinfold::store;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which need addresses of their own

namespace {

// While it exists, the process gets no more than 16 MB of addresses, which is less than a region.
class FewAddresses {
 public:
  FewAddresses() {
    getrlimit(RLIMIT_AS, &before_);
    std::uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit little{pages * 4096 + (16 << 20), before_.rlim_max};
    setrlimit(RLIMIT_AS, &little);
  }
  ~FewAddresses() { setrlimit(RLIMIT_AS, &before_); }
  FewAddresses(const FewAddresses&) = delete;
  FewAddresses& operator=(const FewAddresses&) = delete;

 private:
  rlimit before_{};
};

template <class Prepare, class Allocate>
void expect_one_try(const Prepare& prepare, const Allocate& allocate) {
  {
    const FewAddresses few;
    prepare();
    const work::Counting counting;
    const bool allocated = allocate() != nullptr;
    const std::uint64_t calls = counting.counts().system_calls;
    CHECK_FALSE(allocated);
    CHECK(calls == 0);
  }
  prepare();
  const work::Counting counting;
  const bool allocated = allocate() != nullptr;
  const std::uint64_t calls = counting.counts().system_calls;
  CHECK(allocated);
  CHECK(calls == 0);
}

}  // namespace

TEST_CASE("what was refused to prepare() is not asked for with a lock held, and the next prepare() asks again") {
  SECTION("segments") {
    Memory memory(0);
    SegmentPool pool(memory);
    expect_one_try([&] { pool.prepare(); }, [&] { return pool.allocate(); });
  }
  SECTION("blocks") {
    BlockHeap heap([](std::int64_t) {});
    expect_one_try([&] { heap.prepare(); }, [&] { return heap.allocate(100'000); });
  }
  SECTION("pages of the index") {
    PageHeap heap([](std::int64_t) {}, 0);
    expect_one_try([&] { heap.prepare(); }, [&] { return heap.allocate(1000); });
  }
}

#endif
