// What the keyspace needs and Swift has no word for: an instruction, and a table that is read where it
// lies.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// Has the processor fetch the cache line at this address, without waiting for it. Any address will
/// do: one that can't be read is passed over.
static inline void nt_prefetch(const void *address) { __builtin_prefetch(address, 0, 2); }

/// What each value of a byte adds to a CRC-16/XMODEM.
extern const uint16_t nt_crc16_steps[256];

/// CRC-16/XMODEM: polynomial 0x1021, start 0, nothing reflected; 0x31C3 for "123456789".
static inline uint16_t nt_crc16(const uint8_t *bytes, size_t count) {
    uint16_t crc = 0;
    for (size_t place = 0; place < count; place++)
        crc = (uint16_t)(crc << 8) ^ nt_crc16_steps[(crc >> 8) ^ bytes[place]];
    return crc;
}
