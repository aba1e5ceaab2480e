#pragma once

// The report that a fatal signal leaves on fd 2, and what a thread does to be part of it.

// Ends the process by SIGABRT. The report then starts at the caller's frame: the C library's own
// frames keep no frame pointer, so a walk that begins inside abort() finds nothing.
_Noreturn void crash_abort(void);

// Called first and last on every thread: an alternate stack, since a thread that overflowed its
// own has none to report from, and the bounds within which the frame walk may read.
void crash_thread_enter(void);
void crash_thread_leave(void);
