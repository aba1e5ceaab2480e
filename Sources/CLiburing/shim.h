#pragma once

// The order matters: without it the debug build meets two definitions of fd_set.
#include <features.h>
#include <sys/types.h>
#include <sys/select.h>
#include <liburing.h>
