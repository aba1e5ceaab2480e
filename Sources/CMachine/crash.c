// The crash report. Everything below `on_fatal_signal` runs inside a signal handler of a process
// that is broken: it calls nothing but system calls, takes no lock, allocates nothing, and reads no
// memory that it has not checked to lie on the thread's own stack.

#define _GNU_SOURCE
#include "crash.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum {
    // Deeper than any stack of ours; a runaway recursion shows its cycle well before.
    frames_max = 32,
    // A static executable has two or three; a debug build with the shared Swift runtime about 20.
    objects_max = 32,
    name_bytes_max = 64,
    build_id_bytes_max = 32,
    // Every line at its longest, twice over.
    report_bytes_max = 8192,
    // The kernel's own frame takes up to 11 KiB on processors with wide registers.
    alternate_stack_bytes = 64 * 1024,
    // How far the search for return addresses goes where no frame pointer leads on.
    searched_words_max = 1024,
};

typedef struct {
    uintptr_t base, low, high;
    // The executable part of it.
    uintptr_t code_low, code_high;
    char name[name_bytes_max];
} loaded_object;

static struct {
    char program[name_bytes_max];
    char version[name_bytes_max];
    char build_id[2 * build_id_bytes_max + 1];
    // The first is the executable itself.
    loaded_object objects[objects_max];
    int object_count;
    // The thread that writes the report, 0 before there is one.
    atomic_int reporter;
} crash;

// Initial-exec, so that reading it in the handler can never allocate.
static __thread __attribute__((tls_model("initial-exec"))) struct {
    uintptr_t stack_low, stack_high;
    void *alternate;
    uintptr_t abort_frame;
} this_thread;

static const struct {
    int number;
    const char *name, *meaning;
} fatal_signals[] = {
    {SIGSEGV, "SIGSEGV", "invalid memory access"},
    {SIGBUS, "SIGBUS", "memory access the machine refused"},
    {SIGILL, "SIGILL", "a trap in the code: a failed check, or an illegal instruction"},
    {SIGFPE, "SIGFPE", "arithmetic fault"},
    {SIGABRT, "SIGABRT", "abort"},
    {SIGTRAP, "SIGTRAP", "a trap in the code: a failed check"},
    {SIGSYS, "SIGSYS", "a system call that the sandbox forbids"},
};
enum { fatal_signal_count = sizeof fatal_signals / sizeof fatal_signals[0] };

// MARK: the report's text

typedef struct {
    size_t used;
    char bytes[report_bytes_max];
} text;

static void put(text *out, const char *string) {
    while (*string && out->used < report_bytes_max) out->bytes[out->used++] = *string++;
}

static void put_number(text *out, uintptr_t value, unsigned radix) {
    char digits[24];
    int at = sizeof digits;
    digits[--at] = 0;
    do {
        digits[--at] = "0123456789abcdef"[value % radix];
        value /= radix;
    } while (value);
    if (radix == 16) put(out, "0x");
    put(out, digits + at);
}

static void put_all(const text *out) {
    size_t sent = 0;
    while (sent < out->used) {
        ssize_t count = write(STDERR_FILENO, out->bytes + sent, out->used - sent);
        if (count <= 0) return;
        sent += (size_t)count;
    }
}

// MARK: the walk

typedef struct {
    uintptr_t pc, sp, fp;
} registers;

typedef struct {
    uintptr_t addresses[frames_max];
    int count;
    bool guessed;
} trace;

static registers interrupted(const ucontext_t *context) {
#if defined(__x86_64__)
    const greg_t *saved = context->uc_mcontext.gregs;
    return (registers){(uintptr_t)saved[REG_RIP], (uintptr_t)saved[REG_RSP],
                       (uintptr_t)saved[REG_RBP]};
#elif defined(__aarch64__)
    const mcontext_t *saved = &context->uc_mcontext;
    return (registers){saved->pc, saved->sp, saved->regs[29]};
#else
#error "the crash report knows x86_64 and aarch64"
#endif
}

static const loaded_object *object_of(uintptr_t address) {
    for (int i = 0; i < crash.object_count; i++)
        if (address >= crash.objects[i].low && address < crash.objects[i].high)
            return &crash.objects[i];
    return NULL;
}

static void add(trace *found, uintptr_t address) {
    if (found->count < frames_max) found->addresses[found->count++] = address;
}

// Follows the chain of frame pointers. Each must be aligned, lie above the last one and inside the
// stack, so a damaged chain ends the walk and can't fault. A return address points after its call;
// one byte back is the call's own line.
static void walk(trace *found, uintptr_t frame, uintptr_t low, uintptr_t high) {
    while (found->count < frames_max) {
        if (frame < low || high < 2 * sizeof(uintptr_t) || frame > high - 2 * sizeof(uintptr_t)
            || frame % sizeof(uintptr_t) != 0)
            return;
        const uintptr_t *pair = (const uintptr_t *)frame;
        if (pair[1] == 0) return;
        add(found, pair[1] - 1);
        low = frame + 2 * sizeof(uintptr_t);
        frame = pair[0];
    }
}

// Takes every word of the stack that points into our own code. Some may be left over from calls
// that have returned: said so in the report. What lies between variables is read as well, which
// AddressSanitizer has to be told.
__attribute__((no_sanitize("address")))
static void search(trace *found, uintptr_t sp, uintptr_t high) {
    const loaded_object *own = &crash.objects[0];
    const uintptr_t *word = (const uintptr_t *)(sp & ~(sizeof(uintptr_t) - 1));
    for (int i = 0; i < searched_words_max && (uintptr_t)(word + 1) <= high; i++, word++)
        if (*word > own->code_low && *word < own->code_high) {
            add(found, *word - 1);
            found->guessed = true;
        }
}

static void collect(trace *found, registers at) {
    uintptr_t low = this_thread.stack_low, high = this_thread.stack_high;
    if (this_thread.abort_frame) {
        walk(found, this_thread.abort_frame, this_thread.abort_frame, high);
        return;
    }
    add(found, at.pc);
    bool on_stack = at.sp >= low && at.sp < high && at.sp % sizeof(uintptr_t) == 0;
#if defined(__x86_64__)
    // A call through a bad pointer has come nowhere yet: the caller's address lies on top.
    if (on_stack && !object_of(at.pc)) add(found, *(const uintptr_t *)at.sp - 1);
#endif
    // After an overflow the stack pointer is below the stack, and all of the stack is there.
    int certain = found->count;
    walk(found, at.fp, on_stack ? at.sp : low, high);
    // The C library uses the frame pointer for other things: the chain may have led past our code.
    for (int i = 0; i < found->count; i++)
        if (object_of(found->addresses[i]) == &crash.objects[0]) return;
    if (!on_stack) return;
    found->count = certain;
    search(found, at.sp, high);
}

static void put_trace(text *out, const trace *found) {
    for (int i = 0; i < found->count; i++) {
        uintptr_t address = found->addresses[i];
        const loaded_object *object = object_of(address);
        put(out, "  #");
        put_number(out, (uintptr_t)i, 10);
        put(out, " ");
        if (object) {
            put(out, object->name);
            put(out, "+");
        }
        put_number(out, object ? address - object->base : address, 16);
        put(out, "\n");
    }
    if (found->guessed) put(out, "  (found by searching the stack: some may be stale)\n");
    if (this_thread.stack_high == 0) put(out, "  (no more: not a thread of ours)\n");
    put(out, "  decode with: addr2line -pife ");
    put(out, crash.program);
    for (int i = 0; i < found->count; i++) {
        if (object_of(found->addresses[i]) != &crash.objects[0]) continue;
        put(out, " ");
        put_number(out, found->addresses[i] - crash.objects[0].base, 16);
    }
    put(out, " | swift demangle\n");
}

// MARK: the handler

static void put_head(text *out, int number, const siginfo_t *info) {
    const char *name = "a signal", *meaning = "";
    for (int i = 0; i < fatal_signal_count; i++)
        if (fatal_signals[i].number == number) {
            name = fatal_signals[i].name;
            meaning = fatal_signals[i].meaning;
        }
    char thread_name[17] = "";
    prctl(PR_GET_NAME, thread_name);
    put(out, crash.program);
    put(out, ": crashed by ");
    put(out, name);
    put(out, " (");
    put(out, meaning);
    put(out, ")");
    // Positive codes come from the kernel and carry an address; the rest were sent by a process.
    if (info->si_code > 0 && number != SIGSYS) {
        put(out, " at address ");
        put_number(out, (uintptr_t)info->si_addr, 16);
    } else if (info->si_code > 0) {
        put(out, ", number ");
        put_number(out, (uintptr_t)info->si_syscall, 10);
    } else if (info->si_pid != getpid()) {
        put(out, " sent by process ");
        put_number(out, (uintptr_t)info->si_pid, 10);
    }
    put(out, " in thread ");
    put(out, thread_name);
    put(out, "\n  version ");
    put(out, crash.version);
    put(out, ", build id ");
    put(out, crash.build_id[0] ? crash.build_id : "none");
    put(out, ", loaded at ");
    put_number(out, crash.objects[0].base, 16);
    put(out, "\n");
}

// The signal is blocked while its handler runs: raised again with its default action, it ends the
// process as the handler returns. The first process of a container is immune to that.
static void end_by(int number) {
    signal(number, SIG_DFL);
    if (getpid() == 1) _exit(128 + number);
    raise(number);
}

static void on_fatal_signal(int number, siginfo_t *info, void *context) {
    int self = (int)syscall(SYS_gettid), nobody = 0;
    if (!atomic_compare_exchange_strong(&crash.reporter, &nobody, self)) {
        // Two threads crashed at once: the first one's report ends both. Or this report crashed.
        while (nobody != self) pause();
        end_by(number);
        return;
    }
    // Static: the reporter is alone, and the alternate stack stays small.
    static text out;
    static trace found;
    put_head(&out, number, info);
    collect(&found, interrupted(context));
    put_trace(&out, &found);
    put_all(&out);
    end_by(number);
}

void crash_abort(void) {
    this_thread.abort_frame = (uintptr_t)__builtin_frame_address(0);
    abort();
}

// MARK: setting up

static void copy_name(char to[name_bytes_max], const char *from) {
    strncpy(to, from, name_bytes_max - 1);
    to[name_bytes_max - 1] = 0;
}

// A note is a name and a description, each padded to four bytes.
static void read_build_id(const char *note, size_t byte_count) {
    while (byte_count >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *head = (const void *)note;
        size_t name = (head->n_namesz + 3u) & ~3u, id = (head->n_descsz + 3u) & ~3u;
        size_t whole = sizeof *head + name + id;
        if (whole > byte_count) return;
        const char *text = note + sizeof *head;
        if (head->n_type == NT_GNU_BUILD_ID && head->n_namesz == 4 && memcmp(text, "GNU", 4) == 0
            && head->n_descsz <= build_id_bytes_max) {
            const unsigned char *bytes = (const unsigned char *)text + name;
            for (size_t i = 0; i < head->n_descsz; i++) {
                crash.build_id[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
                crash.build_id[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
            }
            return;
        }
        note += whole;
        byte_count -= whole;
    }
}

static int record_object(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size, (void)context;
    if (crash.object_count == objects_max) return 1;
    loaded_object *object = &crash.objects[crash.object_count];
    bool is_program = crash.object_count == 0;
    const char *slash = strrchr(info->dlpi_name, '/');
    copy_name(object->name, is_program ? crash.program : slash ? slash + 1 : info->dlpi_name);
    object->base = info->dlpi_addr;
    object->low = UINTPTR_MAX;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t low = info->dlpi_addr + segment->p_vaddr, high = low + segment->p_memsz;
        if (segment->p_type == PT_NOTE && is_program && !crash.build_id[0])
            read_build_id((const char *)low, segment->p_memsz);
        if (segment->p_type != PT_LOAD) continue;
        if (low < object->low) object->low = low;
        if (high > object->high) object->high = high;
        if (segment->p_flags & PF_X) {
            object->code_low = low;
            object->code_high = high;
        }
    }
    crash.object_count++;
    return 0;
}

void crash_install(const char *program, const char *version) {
    copy_name(crash.program, program);
    copy_name(crash.version, version);
    crash.object_count = 0;
    dl_iterate_phdr(record_object, NULL);
    crash_thread_enter();

    struct sigaction action = {.sa_sigaction = on_fatal_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    // A fault inside the handler must reach it, or the kernel ends the process under another name.
    for (int i = 0; i < fatal_signal_count; i++) sigdelset(&action.sa_mask, fatal_signals[i].number);
    for (int i = 0; i < fatal_signal_count; i++) sigaction(fatal_signals[i].number, &action, NULL);
}

// The limit alone does not bind where /proc/sys/kernel/core_pattern is a pipe: the kernel then
// starts the collector all the same. With an empty filter it is given no memory. PR_SET_DUMPABLE 0
// would do both, but makes /proc/self root's, and nobody could profile or debug the process.
void crash_disable_cores(void) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    int filter = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
    if (filter < 0) return;
    ssize_t count = write(filter, "0", 1);
    (void)count;
    close(filter);
}

void crash_thread_enter(void) {
    if (this_thread.alternate) return;
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        void *low;
        size_t byte_count;
        if (pthread_attr_getstack(&attributes, &low, &byte_count) == 0) {
            this_thread.stack_low = (uintptr_t)low;
            this_thread.stack_high = (uintptr_t)low + byte_count;
        }
        pthread_attr_destroy(&attributes);
    }
    // The page below it stays closed: what grows down out of the alternate stack ends there.
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = page + alternate_stack_bytes;
    char *memory = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    stack_t stack = {.ss_sp = memory + page, .ss_size = alternate_stack_bytes};
    if (mprotect(memory + page, alternate_stack_bytes, PROT_READ | PROT_WRITE) != 0
        || sigaltstack(&stack, NULL) != 0) {
        munmap(memory, whole);
        return;
    }
    this_thread.alternate = memory;
}

void crash_thread_leave(void) {
    if (!this_thread.alternate) return;
    stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, NULL);
    munmap(this_thread.alternate, (size_t)sysconf(_SC_PAGESIZE) + alternate_stack_bytes);
    this_thread.alternate = NULL;
}
