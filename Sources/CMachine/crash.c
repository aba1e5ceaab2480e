#include "crash.h"
#include <stdlib.h>
void crash_abort(void) { abort(); }
void crash_thread_enter(void) {}
void crash_thread_leave(void) {}
