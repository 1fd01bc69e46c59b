#pragma once
// Lets the allocation of blocks fail, for tests of what happens then.

#include <cstdint>

namespace pinfold {

/// How many blocks BlockHeap::allocate() still returns on this thread before it refuses one as if there were no memory. Once it has, it
/// returns blocks again. Negative: it refuses none.
inline constinit thread_local std::int64_t blocks_until_refusal = -1;
/// Whether it refuses all blocks from then on, until blocks_until_refusal is set anew.
inline constinit thread_local bool refuses_all_further = false;

}  // namespace pinfold
