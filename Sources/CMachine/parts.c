#define _GNU_SOURCE
#include "parts.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// strerrordesc_np (glibc 2.32) is the form that is safe with many threads and ignores the locale.
const char *machine_error_text(int code) { return strerrordesc_np(code); }

int machine_thread_set_name(const char *name) { return pthread_setname_np(pthread_self(), name); }

int machine_thread_name(char *name) { return pthread_getname_np(pthread_self(), name, 16); }

typedef union {
    cpu_set_t set;
    unsigned long words[MACHINE_CPUS_MAX / (8 * sizeof(unsigned long))];
} cpu_mask;

int machine_pin(int cpu) {
    if (cpu < 0 || cpu >= MACHINE_CPUS_MAX) return EINVAL;
    cpu_mask mask;
    CPU_ZERO_S(sizeof mask, &mask.set);
    CPU_SET_S(cpu, sizeof mask, &mask.set);
    return sched_setaffinity(0, sizeof mask, &mask.set) == 0 ? 0 : errno;
}

int machine_allowed_cpus(void) {
    cpu_mask mask;
    CPU_ZERO_S(sizeof mask, &mask.set);
    if (sched_getaffinity(0, sizeof mask, &mask.set) != 0) return 0;
    return CPU_COUNT_S(sizeof mask, &mask.set);
}

int machine_has_name(int fd) {
    struct statx status;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_NLINK, &status) != 0) return -1;
    return status.stx_nlink > 0;
}

// sched_setattr(2), for which glibc has no wrapper before 2.41; the layout is the kernel's first one.
typedef struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
} scheduling;

enum {
    // Nanoseconds. Who asks for a shorter slice than the thread that runs comes before it as it wakes
    // (Linux 6.12 and later). A slice that nobody asked for is some milliseconds, and what can be
    // asked for begins at the first of these.
    prompt_slice = 100 * 1000,
    background_slice = 20 * 1000 * 1000,
    // A tenth of what a thread of no niceness gets, where both want all.
    background_nice = 10,
};

int machine_take_turns(int how) {
    scheduling now = {0};
    if (syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) != 0) return errno;
    int is_realtime = now.policy == SCHED_FIFO || now.policy == SCHED_RR;
    now.size = sizeof now;
    if (how == MACHINE_PROMPTLY) {
        if (is_realtime) now.priority += 1;
        else now.runtime = prompt_slice;
    } else {
        // Who was started with less than a fair share (SCHED_IDLE) takes no more here.
        if (is_realtime) {
            now.policy = SCHED_OTHER;
            now.priority = 0;
        }
        if (now.nice < background_nice) now.nice = background_nice;
        now.runtime = background_slice;
    }
    return syscall(SYS_sched_setattr, 0, &now, 0) == 0 ? 0 : errno;
}

void machine_trim_heap(void) { malloc_trim(0); }
