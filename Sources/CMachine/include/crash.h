#pragma once

// What a fatal signal leaves behind: one report on fd 2, and an exit status that shows the signal.

// Installs the handlers and gives the calling thread its alternate stack. The build id and the
// places of all loaded objects are read here, since the handler may not ask for them. `program` is
// the name shown for the executable; both strings are copied and cut to 63 bytes.
void crash_install(const char *program, const char *version);

// Core dumps off: memory holds tokens, keys and other people's records.
void crash_disable_cores(void);

// Called first and last on every thread: an alternate stack, since a thread that overflowed its
// own has none to report from, and the bounds within which the frame walk may read.
void crash_thread_enter(void);
void crash_thread_leave(void);

// Ends the process by SIGABRT. The report then starts at the caller's frame: the C library's own
// frames keep no frame pointer, so a walk that begins inside abort() would find nothing.
_Noreturn void crash_abort(void);
