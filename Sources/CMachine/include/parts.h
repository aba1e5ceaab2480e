#pragma once

// Calls that glibc declares only under _GNU_SOURCE, which Swift's importer does not define, or
// that take types made of macros. All return 0 or an errno value unless said otherwise.

// The text of an errno value, never translated; NULL if there is none.
const char *machine_error_text(int code);

// Names the calling thread; 15 characters at most.
int machine_thread_set_name(const char *name);
// Writes the calling thread's name, at most 16 bytes with the terminator.
int machine_thread_name(char *name);

// Processors numbered from here on are not counted; Linux supports no more.
enum { MACHINE_CPUS_MAX = 8192 };

// Binds the calling thread to one processor.
int machine_pin(int cpu);
// How many processors the calling thread may run on; 0 if the kernel doesn't say.
int machine_allowed_cpus(void);

// Takes the read-only pages of the executable and its libraries that were only needed to start out
// of the process again. They are in the page cache, so whatever is needed once more comes back
// without a read from disk. Writable and relocated pages stay.
void machine_forget_startup_pages(void);

// Whole free pages of the heap go back to the kernel: malloc_trim(3), whose header Swift does not
// import.
void machine_trim_heap(void);

// Whether a file has a name left: 1 or 0; negative where the kernel doesn't say. Asks for nothing
// else: to be asked for its times a file has to keep them exactly, and each write after that
// changes its inode.
int machine_has_name(int fd);

// How the calling thread takes its turns on a processor that others want, too.
enum {
    // A little work, at once: it runs as soon as it wakes.
    MACHINE_PROMPTLY = 1,
    // Much work, when nobody else wants to.
    MACHINE_IN_BACKGROUND = 2,
};
// The kernel may refuse, which changes nothing but times.
int machine_take_turns(int how);
