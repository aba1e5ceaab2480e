// The checksum of every file the journal writes.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli) of `count` bytes, going on from `crc`; 0 is where a checksum begins.
/// Computed by the processor's own instruction where it has one.
uint32_t nt_crc32c(uint32_t crc, const void *bytes, size_t count);

/// The same by table, on any processor: what the other is tested against.
uint32_t nt_crc32c_portable(uint32_t crc, const void *bytes, size_t count);
