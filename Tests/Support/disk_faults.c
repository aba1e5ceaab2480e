/*
 * Makes the disk below a process fail on demand: preloaded by Tests/disk-faults.
 *
 * The file named by DISK_FAULTS is mapped; each call below has two words in it, a countdown and an
 * errno. With every call on a file of a journal a countdown above 0 goes down, and at 1 the calls
 * fail, and go on failing until the word is set to 0. An errno of 0 means: do only a part.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

enum call { PWRITE, SYNC, ALLOCATE, CALLS };

struct fault {
    _Atomic int countdown;
    _Atomic int error;
    _Atomic int hits;
    int padding;
};

static struct fault *faults;

__attribute__((constructor)) static void map(void) {
    const char *path = getenv("DISK_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *memory =
        mmap(NULL, CALLS * sizeof(struct fault), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED) faults = memory;
}

static int is_journal(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t count = readlink(link, path, sizeof path - 1);
    if (count <= 0) return 0;
    path[count] = 0;
    return strstr(path, "/journal/") != NULL;
}

/* The error to answer with, 0 for a part only, -1 for none. */
static int fails(enum call call, int fd) {
    if (!faults || atomic_load(&faults[call].countdown) == 0 || !is_journal(fd)) return -1;
    struct fault *fault = &faults[call];
    int left = atomic_load(&fault->countdown);
    while (left > 1 && !atomic_compare_exchange_weak(&fault->countdown, &left, left - 1)) {}
    if (left != 1) return -1;
    atomic_fetch_add(&fault->hits, 1);
    return atomic_load(&fault->error);
}

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

static ssize_t write_some(int fd, const void *bytes, size_t count, off_t offset) {
    static __typeof__(pwrite) *real;
    if (!real) real = REAL(pwrite);
    int error = fails(PWRITE, fd);
    if (error > 0) {
        errno = error;
        return -1;
    }
    if (error == 0 && count > 1) count = 1 + count / 3;
    return real(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return write_some(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) {
    return write_some(fd, bytes, count, offset);
}

int fdatasync(int fd) {
    static __typeof__(fdatasync) *real;
    if (!real) real = REAL(fdatasync);
    int error = fails(SYNC, fd);
    if (error > 0) {
        errno = error;
        return -1;
    }
    return real(fd);
}

static int allocate(int fd, off_t from, off_t count) {
    static __typeof__(posix_fallocate) *real;
    if (!real) real = REAL(posix_fallocate);
    int error = fails(ALLOCATE, fd);
    return error > 0 ? error : real(fd, from, count);
}

int posix_fallocate(int fd, off_t from, off_t count) { return allocate(fd, from, count); }
int posix_fallocate64(int fd, off_t from, off_t count) { return allocate(fd, from, count); }
