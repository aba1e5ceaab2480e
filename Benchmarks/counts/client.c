// A client whose load makes a server do exactly the same work every time.
//
// It works in lockstep: in each round every connection gets its batch of requests, and only then
// are the replies read. On one CPU, at the same first-in-first-out priority as the server, neither
// side preempts the other: the server wakes to a whole round, answers all of it and sleeps again.
// So how requests fall into turns of its loop, and with it every count, repeats.
//
// The measured rounds are bracketed by two commands (zero the counters, dump them) that run while
// the connections are open, warm and silent.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    connections_max = 1024,
    depth_max = 256,
    request_bytes_max = 4096,
    reply_bytes_max = 1 << 20,
    // A server that has not finished by then, even under callgrind, hangs.
    seconds_max = 100,
};

static int sockets[connections_max];
static char *batch, *replies, *expected;
static size_t batch_bytes, reply_bytes;
static long connections, depth;

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("client: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static int open_connection(long port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        fail("connect to port %ld: %s", port, strerror(errno));
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void send_all(int fd, const char *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        ssize_t sent = send(fd, bytes + done, count - done, MSG_NOSIGNAL);
        if (sent <= 0) fail("send: %s", strerror(errno));
        done += (size_t)sent;
    }
}

static void receive_all(int fd, char *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        ssize_t received = recv(fd, bytes + done, count - done, 0);
        if (received <= 0) fail("the server closed a connection in mid-reply");
        done += (size_t)received;
    }
}

/// Learns what one reply looks like, from its Content-Length.
static void learn_reply(int fd) {
    size_t got = 0;
    const char *head_end = NULL;
    while (!head_end) {
        ssize_t received = recv(fd, expected + got, reply_bytes_max - got, 0);
        if (received <= 0) fail("no reply");
        got += (size_t)received;
        expected[got] = 0;
        head_end = strstr(expected, "\r\n\r\n");
    }
    if (strncmp(expected, "HTTP/1.1 200 ", 13) != 0) fail("not a 200: %.60s", expected);
    const char *length = strcasestr(expected, "\r\nContent-Length:");
    if (!length || length > head_end) fail("the reply has no Content-Length");
    reply_bytes = (size_t)(head_end + 4 - expected) + strtoul(length + 17, NULL, 10);
    if (reply_bytes > reply_bytes_max || got > reply_bytes) fail("a reply of impossible size");
    receive_all(fd, expected + got, reply_bytes - got);
}

static void run_rounds(long rounds) {
    for (long round = 0; round < rounds; round++) {
        for (long i = 0; i < connections; i++) send_all(sockets[i], batch, batch_bytes);
        for (long i = 0; i < connections; i++) {
            receive_all(sockets[i], replies, reply_bytes * (size_t)depth);
            // The first and the last begin as replies begin; the lengths between then fit too.
            // (A Date header may change, so the bytes are not compared further.)
            const char *last = replies + reply_bytes * (size_t)(depth - 1);
            if (memcmp(replies, expected, 13) != 0 || memcmp(last, expected, 13) != 0) {
                fail("a reply is not like the first: %.60s", replies);
            }
        }
    }
}

static void command(const char *line) {
    if (system(line) != 0) fail("failed: %s", line);
}

int main(int count, char **arguments) {
    if (count != 9) {
        fputs("usage: client PORT PATH CONNECTIONS DEPTH WARM_ROUNDS ROUNDS BEFORE AFTER\n", stderr);
        return 64;
    }
    long port = strtol(arguments[1], NULL, 10);
    connections = strtol(arguments[3], NULL, 10);
    depth = strtol(arguments[4], NULL, 10);
    long warm_rounds = strtol(arguments[5], NULL, 10), rounds = strtol(arguments[6], NULL, 10);
    if (connections < 1 || connections > connections_max || depth < 1 || depth > depth_max
        || strlen(arguments[2]) > request_bytes_max / 2) {
        fail("CONNECTIONS is at most %d, DEPTH at most %d", connections_max, depth_max);
    }
    alarm(seconds_max);

    char request[request_bytes_max];
    int request_bytes = snprintf(request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%ld\r\n\r\n", arguments[2], port);
    batch_bytes = (size_t)request_bytes * (size_t)depth;
    batch = malloc(batch_bytes);
    expected = malloc(reply_bytes_max + 1);
    if (!batch || !expected) fail("no memory");
    for (long i = 0; i < depth; i++) {
        memcpy(batch + (size_t)i * (size_t)request_bytes, request, (size_t)request_bytes);
    }
    for (long i = 0; i < connections; i++) sockets[i] = open_connection(port);
    send_all(sockets[0], request, (size_t)request_bytes);
    learn_reply(sockets[0]);
    replies = malloc(reply_bytes * (size_t)depth);
    if (!replies) fail("no memory");

    run_rounds(warm_rounds);
    command(arguments[7]);
    run_rounds(rounds);
    command(arguments[8]);
    return 0;
}
