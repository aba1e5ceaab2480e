// Starts a program that cannot outlive the test which asked for it, optionally under a seccomp
// filter like the default profiles of container runtimes, which refuse io_uring.
//
//   leash [--refuse-uring ERRNO] [--soft-files N] PROGRAM [ARGUMENT…]
//
// The parent-death signal belongs to the thread that spawned us, so that thread has to live as
// long as the tests do; TestClient keeps one for this.

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// io_uring_setup, io_uring_enter and io_uring_register: the same numbers on every architecture.
#define URING_FIRST 425
#define URING_LAST 427

static int refuse_uring(int error) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, URING_FIRST, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, URING_LAST, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int soften_files(rlim_t count) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -1;
    limit.rlim_cur = count;
    return setrlimit(RLIMIT_NOFILE, &limit);
}

static void die(const char *what) {
    fprintf(stderr, "leash: %s: %s\n", what, strerror(errno));
    _exit(125);
}

int main(int argc, char **argv) {
    int next = 1;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) die("prctl");
    // Descriptor counts are compared, so nothing of the test runner's may leak into a child.
    if (syscall(SYS_close_range, 3U, ~0U, 0U) != 0) die("close_range");
    while (next + 1 < argc && argv[next][0] == '-') {
        long value = strtol(argv[next + 1], NULL, 10);
        if (strcmp(argv[next], "--refuse-uring") == 0) {
            if (refuse_uring((int)value) != 0) die("seccomp");
        } else if (strcmp(argv[next], "--soft-files") == 0) {
            if (soften_files((rlim_t)value) != 0) die("setrlimit");
        } else {
            break;
        }
        next += 2;
    }
    if (next >= argc) {
        fputs("leash: no program given\n", stderr);
        return 125;
    }
    execv(argv[next], argv + next);
    die(argv[next]);
}
