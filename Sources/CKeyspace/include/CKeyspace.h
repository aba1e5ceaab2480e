// What the keyspace needs and Swift has no word for: an instruction, and a table that is read where it
// lies.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/// Has the processor fetch the cache line at this address into its second cache, without waiting for
/// it (docs/decisions/0011 says why not into the first). Any address will do: one that can't be read
/// is passed over.
static inline void nt_prefetch(const void *address) { __builtin_prefetch(address, 0, 2); }

/// What each value of a byte adds to a CRC-16/XMODEM; and with another byte behind it.
extern const uint16_t nt_crc16_steps[256];
extern const uint16_t nt_crc16_double_steps[256];

/// CRC-16/XMODEM: polynomial 0x1021, start 0, nothing reflected; 0x31C3 for "123456789".
static inline uint16_t nt_crc16(const uint8_t *bytes, size_t count) {
    uint32_t crc = 0;
    size_t place = 0;
    for (; place + 1 < count; place += 2)
        crc = nt_crc16_double_steps[(crc >> 8) ^ bytes[place]] ^
              nt_crc16_steps[(crc & 0xFF) ^ bytes[place + 1]];
    if (place < count) crc = (crc << 8 & 0xFFFF) ^ nt_crc16_steps[(crc >> 8) ^ bytes[place]];
    return (uint16_t)crc;
}

/// Whether one of the bytes is a `{`: eight at a time, for a call of memchr takes longer than most keys.
static inline bool nt_has_brace(const uint8_t *bytes, size_t count) {
    if (count < 8) {
        for (size_t place = 0; place < count; place++)
            if (bytes[place] == '{') return true;
        return false;
    }
    for (size_t place = 0; place < count; place += 8) {
        uint64_t word;
        // The last word overlaps the one before.
        memcpy(&word, bytes + (place < count - 8 ? place : count - 8), 8);
        word ^= 0x7B7B7B7B7B7B7B7B;
        if ((word - 0x0101010101010101) & ~word & 0x8080808080808080) return true;
    }
    return false;
}
