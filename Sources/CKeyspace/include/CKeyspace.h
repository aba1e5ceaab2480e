// The one instruction that the keyspace needs and Swift has no word for.
#pragma once

/// Has the processor fetch the cache line at this address, without waiting for it. Any address will
/// do: one that can't be read is passed over.
static inline void nt_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }
