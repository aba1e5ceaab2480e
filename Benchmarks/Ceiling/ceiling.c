// The ceiling: what the kernel allows one thread that does nothing but answer.
//
// It is the yardstick for the real server, so it uses the same ring features (multishot accept and
// recv, provided buffers, deferred task work) and leaves out everything a server is for: it does
// not parse, route or render. It counts the blank lines in what arrives and sends that many copies
// of one constant HTTP reply whose total size the caller chooses. What a real server loses against
// it at the same reply size is its own doing.
//
// It serves benchmarks on loopback and trusts its clients: no timeouts, no request bodies.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    // More than the connections of any benchmark here have operations in flight.
    ring_entries = 4096,
    // A power of two, as the kernel asks. At 4 KiB a buffer holds more than 80 of wrk's requests,
    // so a batch of 16 arrives whole; 1024 of them outlast 64 connections by far.
    buffers_count = 1024,
    buffer_bytes = 4096,
    buffer_group = 1,
    // File descriptors index the connection table directly.
    connections_max = 65536,
    // One send carries at most this many replies; a deeper backlog takes another send.
    replies_per_send_max = 256,
    reply_bytes_max = 1 << 20,
    listen_backlog = 4096,
};

enum operation { op_accept = 1, op_recv, op_send };

struct connection {
    uint64_t replies_owed;
    // How long the unfinished line is so far: a line may straddle two buffers.
    size_t line_bytes;
    uint32_t send_bytes;
    bool sending, receiving, closing;
};

static struct io_uring ring;
static struct io_uring_buf_ring *buffer_ring;
static unsigned char *buffers;
static struct connection connections[connections_max];
static char *replies;
static size_t reply_bytes, replies_per_send;
static int listener;

static void fail(const char *what, int error) {
    fprintf(stderr, "ceiling: %s: %s\n", what, strerror(error));
    exit(1);
}

static struct io_uring_sqe *next_sqe(void) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    while (!sqe) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
}

static void tag(struct io_uring_sqe *sqe, enum operation op, int fd) {
    io_uring_sqe_set_data64(sqe, (uint64_t)fd << 8 | op);
}

static void arm_accept(void) {
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    tag(sqe, op_accept, listener);
}

static void arm_recv(int fd) {
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = buffer_group;
    tag(sqe, op_recv, fd);
    connections[fd].receiving = true;
}

static void give_back_buffer(unsigned id) {
    io_uring_buf_ring_add(buffer_ring, buffers + (size_t)id * buffer_bytes, buffer_bytes, id,
                          io_uring_buf_ring_mask(buffers_count), 0);
    io_uring_buf_ring_advance(buffer_ring, 1);
}

/// Closes when nothing in the ring refers to the descriptor any more, so that a completion never
/// meets another connection with the same number.
static void close_when_quiet(int fd) {
    struct connection *c = &connections[fd];
    if (c->receiving || c->sending) return;
    close(fd);
    memset(c, 0, sizeof *c);
}

static void abandon(int fd) {
    struct connection *c = &connections[fd];
    c->closing = true;
    // Ends an armed recv, whose last completion then closes the connection.
    if (c->receiving) shutdown(fd, SHUT_RDWR);
    close_when_quiet(fd);
}

/// One send at a time keeps the replies in order; whatever came in meanwhile leaves as one.
static void send_owed(int fd) {
    struct connection *c = &connections[fd];
    if (c->sending || c->replies_owed == 0) return;
    uint64_t count = c->replies_owed < replies_per_send ? c->replies_owed : replies_per_send;
    c->replies_owed -= count;
    c->send_bytes = (uint32_t)(count * reply_bytes);
    c->sending = true;
    struct io_uring_sqe *sqe = next_sqe();
    // MSG_WAITALL: the kernel itself goes on after a short send.
    io_uring_prep_send(sqe, fd, replies, c->send_bytes, MSG_WAITALL | MSG_NOSIGNAL);
    tag(sqe, op_send, fd);
}

/// Counts the requests that end within these bytes: a line of one byte, the '\r' of "\r\n\r\n",
/// ends one.
static uint64_t count_requests(struct connection *c, const unsigned char *bytes, size_t count) {
    const unsigned char *at = bytes, *end = bytes + count, *newline;
    uint64_t found = 0;
    while (at < end && (newline = memchr(at, '\n', (size_t)(end - at)))) {
        found += c->line_bytes + (size_t)(newline - at) == 1;
        c->line_bytes = 0;
        at = newline + 1;
    }
    c->line_bytes += (size_t)(end - at);
    return found;
}

static void accepted(const struct io_uring_cqe *cqe) {
    if (!(cqe->flags & IORING_CQE_F_MORE)) arm_accept();
    if (cqe->res < 0) return;
    if (cqe->res >= connections_max) {
        close(cqe->res);
        return;
    }
    connections[cqe->res] = (struct connection){0};
    arm_recv(cqe->res);
}

static void received(int fd, const struct io_uring_cqe *cqe) {
    struct connection *c = &connections[fd];
    if (!(cqe->flags & IORING_CQE_F_MORE)) c->receiving = false;
    if (cqe->res > 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        c->replies_owed += count_requests(c, buffers + (size_t)id * buffer_bytes, (size_t)cqe->res);
        give_back_buffer(id);
        if (!c->closing) {
            send_owed(fd);
            if (!c->receiving) arm_recv(fd);
        }
    } else if (cqe->res == -ENOBUFS && !c->closing) {
        // Every buffer has been given back by the time this is submitted.
        arm_recv(fd);
        return;
    } else {
        c->closing = true;
    }
    if (c->closing) close_when_quiet(fd);
}

static void sent(int fd, const struct io_uring_cqe *cqe) {
    struct connection *c = &connections[fd];
    c->sending = false;
    if (c->closing) {
        close_when_quiet(fd);
    } else if (cqe->res != (int)c->send_bytes) {
        abandon(fd);
    } else {
        send_owed(fd);
    }
}

/// Fills `replies` with copies of a reply that is exactly `reply_bytes` long, head included.
static void render_replies(void) {
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: %0*zu\r\n\r\n";
    size_t fixed = (size_t)snprintf(NULL, 0, head, 1, (size_t)0) - 1;
    // At some sizes no plain number fits (9 bytes need one digit, 10 need two): a leading zero does.
    for (int digits = 1; digits <= 7 && fixed + (size_t)digits <= reply_bytes; digits++) {
        size_t body = reply_bytes - fixed - (size_t)digits;
        if (snprintf(NULL, 0, "%zu", body) > digits) continue;
        replies_per_send = replies_per_send_max;
        replies = malloc(replies_per_send * reply_bytes + 1);
        if (!replies) fail("memory for the replies", ENOMEM);
        for (size_t i = 0; i < replies_per_send; i++) {
            char *reply = replies + i * reply_bytes;
            int written = snprintf(reply, reply_bytes + 1, head, digits, body);
            memset(reply + written, 'x', body);
        }
        return;
    }
    fprintf(stderr, "ceiling: a reply has at least %zu bytes\n", fixed + 1);
    exit(64);
}

static void open_listener(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0) fail("socket", errno);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Accepted sockets inherit it.
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) fail("bind", errno);
    if (listen(listener, listen_backlog) < 0) fail("listen", errno);
}

static void open_ring(void) {
    // Never IORING_SETUP_NO_SQARRAY: liburing 2.3 does not know it and corrupts the ring.
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN
            | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = ring_entries * 4,
    };
    int error = io_uring_queue_init_params(ring_entries, &ring, &params);
    if (error < 0) fail("io_uring_setup", -error);
    // Spares a descriptor lookup per call; nothing depends on it.
    io_uring_register_ring_fd(&ring);

    size_t ring_bytes = buffers_count * sizeof(struct io_uring_buf);
    size_t bytes = ring_bytes + (size_t)buffers_count * buffer_bytes;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_ANONYMOUS | MAP_PRIVATE | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) fail("mmap", errno);
    buffer_ring = memory;
    buffers = (unsigned char *)memory + ring_bytes;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)buffer_ring, .ring_entries = buffers_count, .bgid = buffer_group};
    error = io_uring_register_buf_ring(&ring, &registration, 0);
    if (error < 0) fail("io_uring_register_buf_ring", -error);
    io_uring_buf_ring_init(buffer_ring);
    for (unsigned id = 0; id < buffers_count; id++) give_back_buffer(id);
}

int main(int count, char **arguments) {
    long port = count > 1 ? strtol(arguments[1], NULL, 10) : 0;
    long size = count > 2 ? strtol(arguments[2], NULL, 10) : 0;
    if (count < 3 || count > 4 || port < 1 || port > 65535 || size < 1 || size > reply_bytes_max) {
        fprintf(stderr, "usage: ceiling PORT REPLY_BYTES [CPU]   (a reply of 1-%d bytes)\n",
                reply_bytes_max);
        return 64;
    }
    if (count > 3) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET(strtoul(arguments[3], NULL, 10) % CPU_SETSIZE, &cpus);
        if (sched_setaffinity(0, sizeof cpus, &cpus) < 0) fail("sched_setaffinity", errno);
    }
    reply_bytes = (size_t)size;
    render_replies();
    open_ring();
    open_listener((uint16_t)port);
    arm_accept();

    for (;;) {
        int submitted = io_uring_submit_and_wait(&ring, 1);
        if (submitted < 0 && submitted != -EINTR && submitted != -EBUSY) {
            fail("io_uring_enter", -submitted);
        }
        struct io_uring_cqe *cqe;
        unsigned head, seen = 0;
        io_uring_for_each_cqe(&ring, head, cqe) {
            int fd = (int)(cqe->user_data >> 8);
            switch ((enum operation)(cqe->user_data & 0xff)) {
            case op_accept: accepted(cqe); break;
            case op_recv: received(fd, cqe); break;
            case op_send: sent(fd, cqe); break;
            }
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
    }
}
