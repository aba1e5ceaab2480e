// zstd's library also reads what zstd wrote before its format was settled, in 2016: 90 KB of code for
// three formats that no snapshot has ever had. Defined here, its functions are not taken out of the
// archive, and a frame of such a format is refused like any other that is none.
//
// They are weak: a library that needs more of these than are here brings its own, and they count.

#include <stddef.h>

static const size_t refused = (size_t)-1;

#define FORMAT(version) \
    __attribute__((weak)) void *ZSTDv##version##_createDCtx(void) { return NULL; } \
    __attribute__((weak)) size_t ZSTDv##version##_freeDCtx(void *context) \
    { \
        (void)context; \
        return 0; \
    } \
    __attribute__((weak)) size_t ZSTDv##version##_decompress_usingDict( \
        void *context, void *into, size_t room, const void *from, size_t count, const void *dictionary, \
        size_t dictionary_count) \
    { \
        (void)context, (void)into, (void)room, (void)from, (void)count, (void)dictionary; \
        (void)dictionary_count; \
        return refused; \
    } \
    __attribute__((weak)) void ZSTDv##version##_findFrameSizeInfoLegacy( \
        const void *from, size_t count, size_t *frame, unsigned long long *bound) \
    { \
        (void)from, (void)count; \
        *frame = refused; \
        *bound = (unsigned long long)-2; \
    } \
    __attribute__((weak)) size_t ZSTDv##version##_getFrameParams( \
        void *parameters, const void *from, size_t count) \
    { \
        (void)parameters, (void)from, (void)count; \
        return refused; \
    } \
    __attribute__((weak)) void *ZBUFFv##version##_createDCtx(void) { return NULL; } \
    __attribute__((weak)) size_t ZBUFFv##version##_freeDCtx(void *context) \
    { \
        (void)context; \
        return 0; \
    } \
    __attribute__((weak)) size_t ZBUFFv##version##_decompressInitDictionary( \
        void *context, const void *dictionary, size_t count) \
    { \
        (void)context, (void)dictionary, (void)count; \
        return refused; \
    } \
    __attribute__((weak)) size_t ZBUFFv##version##_decompressContinue( \
        void *context, void *into, size_t *room, const void *from, size_t *count) \
    { \
        (void)context, (void)into, (void)room, (void)from, (void)count; \
        return refused; \
    }

FORMAT(05)
FORMAT(06)
FORMAT(07)
