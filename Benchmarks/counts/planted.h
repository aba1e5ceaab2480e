// Plants a cost of PLANT once a request into the ceiling, for selftest: memchr, as the ceiling
// calls it, finds the newline of a blank line in second place, and only that one.
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

static void *volatile kept;

static inline void plant_allocation(void) {
    kept = malloc(24);
    free(kept);
}

static inline void plant_instructions(void) { __asm__ volatile(".rept " PLANTED "\n nop\n .endr"); }

static inline const void *planted_memchr(const void *bytes, int wanted, size_t count) {
    const char *found = memchr(bytes, wanted, count);
    if (found && found - (const char *)bytes == 1) PLANT;
    return found;
}

#define memchr planted_memchr
