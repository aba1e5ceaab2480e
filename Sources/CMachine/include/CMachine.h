#pragma once

// Constants that Debian 12's headers lack or the importer leaves out, and the few things that
// Swift cannot say. The order of the first three matters: see CLiburing's shim.
#include <features.h>
#include <sys/types.h>
#include <sys/select.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <stdint.h>

enum {
    nt_epoll_in = EPOLLIN,
    nt_epoll_out = EPOLLOUT,
    nt_epoll_rdhup = EPOLLRDHUP,
    nt_epoll_hup = EPOLLHUP,
    nt_epoll_err = EPOLLERR,
};
// An enum constant of this value would be negative.
static const uint32_t nt_epoll_edge = 1u << 31;

// accept4(2) with close-on-exec, which glibc declares only for _GNU_SOURCE.
int nt_accept(int listener);

#include "crash.h"
#include "parts.h"
