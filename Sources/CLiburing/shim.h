#pragma once

// The order matters: without it the debug build meets two definitions of fd_set.
#include <features.h>
#include <sys/types.h>
#include <sys/select.h>
#include <liburing.h>

// What the importer leaves out: macros with casts, and loops that need load-acquire.

enum {
    nt_cqe_more = IORING_CQE_F_MORE,
    nt_cqe_buffer = IORING_CQE_F_BUFFER,
    nt_cqe_buffer_shift = IORING_CQE_BUFFER_SHIFT,
    nt_sqe_buffer_select = 1u << IOSQE_BUFFER_SELECT_BIT,
};

// Copies at most `max` completions out of the ring and gives their places back.
static inline unsigned nt_ring_take(struct io_uring *ring, struct io_uring_cqe *out, unsigned max)
{
    unsigned head = *ring->cq.khead;
    unsigned ready = io_uring_smp_load_acquire(ring->cq.ktail) - head;
    unsigned mask = *ring->cq.kring_mask;
    unsigned n = ready < max ? ready : max;
    for (unsigned i = 0; i < n; i++) {
        const struct io_uring_cqe *from = &ring->cq.cqes[(head + i) & mask];
        out[i].user_data = from->user_data;
        out[i].res = from->res;
        out[i].flags = from->flags;
    }
    io_uring_smp_store_release(ring->cq.khead, head + n);
    return n;
}

static inline unsigned nt_ring_ready(const struct io_uring *ring)
{
    return io_uring_smp_load_acquire(ring->cq.ktail) - *ring->cq.khead;
}
