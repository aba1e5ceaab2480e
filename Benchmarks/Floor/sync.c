// The floor of durable writes: what one record costs when a program does nothing but write and
// sync it, one after another, into space that is allocated beforehand.
//
// usage: floor-sync DIR BYTES SECONDS. Prints "rate p50_us p99_us max_us".

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    // Written over from the beginning when full, as a log begins a new segment.
    file_bytes = 16 << 20,
    samples_max = 1 << 22,
};

static long long now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int compare(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return x < y ? -1 : x > y;
}

int main(int count, char **arguments) {
    if (count != 4) {
        fputs("usage: floor-sync DIR BYTES SECONDS\n", stderr);
        return 64;
    }
    size_t bytes = strtoul(arguments[2], NULL, 10);
    double seconds = strtod(arguments[3], NULL);
    if (bytes < 1 || bytes > 65536 || seconds <= 0) {
        fputs("floor-sync: BYTES is from 1 to 65536, SECONDS above 0\n", stderr);
        return 64;
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/floor-sync", arguments[1]);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || posix_fallocate(fd, 0, file_bytes) != 0) {
        fprintf(stderr, "floor-sync: %s: %s\n", path, strerror(errno));
        return 1;
    }
    unlink(path);
    fsync(fd);
    char *record = malloc(bytes);
    unsigned *samples = malloc(sizeof(unsigned) * samples_max);
    if (!record || !samples) return 1;
    memset(record, 'x', bytes);

    size_t done = 0;
    off_t at = 0;
    long long began = now_ns(), end = began + (long long)(seconds * 1e9), before = began;
    while (before < end && done < samples_max) {
        if (at + (off_t)bytes > file_bytes) at = 0;
        if (pwrite(fd, record, bytes, at) != (ssize_t)bytes || fdatasync(fd) != 0) {
            fprintf(stderr, "floor-sync: write: %s\n", strerror(errno));
            return 1;
        }
        at += (off_t)bytes;
        long long after = now_ns();
        samples[done++] = (unsigned)((after - before) / 10);
        before = after;
    }
    qsort(samples, done, sizeof *samples, compare);
    printf("%.1f %.2f %.2f %.2f\n", (double)done * 1e9 / (double)(before - began),
        samples[done / 2] / 100.0, samples[done * 99 / 100] / 100.0, samples[done - 1] / 100.0);
    return 0;
}
