// The floor of live updates: what one event costs when a server does nothing but send() it.
//
// One thread, epoll, one send(2) for each listener, in the order in which they came. It knows of
// HTTP what needletail-bench says: `GET …NNNNNNNN` ends in eight digits, its key, and opens a
// stream; `PUT …NNNNNNNN` is answered and its body sent to the key's streams as one event. It
// keeps no value, no version and no id, checks nobody, buffers nothing: a socket that is full
// misses the event. So no server can be quicker by this way to the kernel, and what a real one
// loses against it is its own doing.
//
// It serves benchmarks on loopback and trusts its clients.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    // File descriptors index the connections, keys the lists, directly.
    connections_max = 65536,
    keys_max = 1 << 20,
    events_max = 512,
    listen_backlog = 4096,
    // A request is read whole or it is none of needletail-bench's.
    request_bytes_max = 65536,
};

// The listeners of one key.
struct audience {
    int *sockets;
    int count, capacity;
};

static struct audience audiences[keys_max];
// The key a connection listens to, counted from 1.
static int key_of[connections_max];
static char request[request_bytes_max + 1], frame[request_bytes_max + 64];

static const char stream_head[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("floor-push: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static void leave(int fd) {
    if (key_of[fd]) {
        struct audience *audience = &audiences[key_of[fd] - 1];
        for (int i = 0; i < audience->count; i++) {
            if (audience->sockets[i] == fd) {
                audience->sockets[i] = audience->sockets[--audience->count];
                break;
            }
        }
        key_of[fd] = 0;
    }
    close(fd);
}

static void listen_to(int fd, int key) {
    struct audience *audience = &audiences[key];
    if (audience->count == audience->capacity) {
        audience->capacity = audience->capacity ? audience->capacity * 2 : 4;
        audience->sockets =
            realloc(audience->sockets, sizeof(int) * (size_t)audience->capacity);
        if (!audience->sockets) fail("no memory");
    }
    audience->sockets[audience->count++] = fd;
    key_of[fd] = key + 1;
}

// The eight digits that end the request's path, or those before a `?`.
static int key_in(const char *line) {
    const char *space = strchr(line, ' ');
    if (!space) return -1;
    const char *end = space + 1 + strcspn(space + 1, " ?");
    if (end - space <= 8) return -1;
    int key = 0;
    for (const char *digit = end - 8; digit < end; digit++) {
        if (*digit < '0' || *digit > '9') return -1;
        key = key * 10 + (*digit - '0');
    }
    return key < keys_max ? key : -1;
}

static void publish(int key, const char *body, size_t count) {
    size_t size = 0;
    memcpy(frame, "data: ", 6);
    size += 6;
    memcpy(frame + size, body, count);
    size += count;
    memcpy(frame + size, "\n\n", 2);
    size += 2;
    struct audience *audience = &audiences[key];
    for (int i = 0; i < audience->count; i++) {
        send(audience->sockets[i], frame, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

static void serve(int fd) {
    ssize_t received = recv(fd, request, request_bytes_max, MSG_DONTWAIT);
    if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (received <= 0) return leave(fd);
    request[received] = 0;
    char *at = request;
    while (at < request + received) {
        char *head_end = strstr(at, "\r\n\r\n");
        if (!head_end) fail("a request in pieces: this server reads only whole ones");
        char *body = head_end + 4;
        int key = key_in(at);
        if (strncmp(at, "GET ", 4) == 0) {
            if (key >= 0 && strstr(at, "event-stream")) {
                send(fd, stream_head, sizeof stream_head - 1, MSG_NOSIGNAL);
                listen_to(fd, key);
            } else {
                send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
            }
            at = body;
            continue;
        }
        *head_end = 0;
        const char *length = strcasestr(at, "\r\nContent-Length:");
        size_t count = length ? strtoul(length + 17, NULL, 10) : 0;
        if (key < 0 || body + count > request + received) fail("not a whole write to a key");
        send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
        publish(key, body, count);
        at = body + count;
    }
}

int main(int count, char **arguments) {
    if (count != 2) {
        fputs("usage: floor-push PORT\n", stderr);
        return 64;
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)strtol(arguments[1], NULL, 10))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0
        || listen(listener, listen_backlog) < 0) {
        fail("port %s: %s", arguments[1], strerror(errno));
    }
    int poll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    static struct epoll_event events[events_max];
    for (;;) {
        int ready = epoll_wait(poll, events, events_max, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                serve(fd);
                continue;
            }
            int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (accepted < 0) continue;
            if (accepted >= connections_max) fail("too many connections");
            setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            event = (struct epoll_event){.events = EPOLLIN, .data.fd = accepted};
            epoll_ctl(poll, EPOLL_CTL_ADD, accepted, &event);
        }
    }
}
