#define _GNU_SOURCE
#include "parts.h"

#include <errno.h>
#include <pthread.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

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
