// A client whose load makes a server do exactly the same work every time.
//
// It works in lockstep: in each round every connection gets its batch of requests, and only then
// are the replies read. On one CPU, at the same first-in-first-out priority as the server, neither
// side preempts the other: the server wakes to a whole round, answers all of it and sleeps again.
// So how requests fall into turns of its loop, and with it every count, repeats.
//
// The measured rounds are bracketed by two commands (zero the counters, dump them) that run while
// the connections are open, warm and silent.
//
// What is asked for is one path, or real keys: `get` and `put` of records chosen at random among
// 100,000 of 10-byte keys and 348-byte JSON values, which are loaded first where they are missing. The
// token for writing comes in the environment, as TOKEN; with `getauth` it is sent with a GET too.
// `respget` and `respset` do the same as a Redis client does.

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
    records = 100000,
    value_bytes = 348,
    load_depth = 50,
    reply_bytes_max = 1 << 20,
    // A server that has not finished by then, even under callgrind, hangs.
    seconds_max = 100,
};

static int sockets[connections_max];
static char *batch, *replies, *expected;
static size_t batch_bytes, reply_bytes;
static long connections, depth;
static int speaks_resp;

/// One request; its key's digits, where it has one, stand at `key_place`.
struct request {
    char text[request_bytes_max];
    size_t bytes;
    size_t key_place;
};
static struct request asked;
static unsigned long long dice = 42;

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

/// The same of a Redis client's: a bulk string has its length in front, any other reply is a line.
static void learn_resp_reply(int fd) {
    size_t line = 0;
    do receive_all(fd, expected + line++, 1);
    while (line < 32 && (line < 2 || memcmp(expected + line - 2, "\r\n", 2) != 0));
    expected[line] = 0;
    if (expected[0] != '$' && expected[0] != '+') fail("not a value: %.31s", expected);
    long value = expected[0] == '$' ? strtol(expected + 1, NULL, 10) + 2 : 0;
    if (value < 0 || value > request_bytes_max) fail("no value: %.31s", expected);
    reply_bytes = line + (size_t)value;
    receive_all(fd, expected + line, (size_t)value);
}

/// Learns what one reply looks like, from its Content-Length.
static void learn_reply(int fd) {
    if (speaks_resp) {
        learn_resp_reply(fd);
        return;
    }
    size_t got = 0;
    const char *head_end = NULL;
    while (!head_end) {
        ssize_t received = recv(fd, expected + got, reply_bytes_max - got, 0);
        if (received <= 0) fail("no reply");
        got += (size_t)received;
        expected[got] = 0;
        head_end = strstr(expected, "\r\n\r\n");
    }
    if (strncmp(expected, "HTTP/1.1 20", 11) != 0) fail("not a 200: %.60s", expected);
    const char *length = strcasestr(expected, "\r\nContent-Length:");
    if (!length || length > head_end) fail("the reply has no Content-Length");
    reply_bytes = (size_t)(head_end + 4 - expected) + strtoul(length + 17, NULL, 10);
    if (reply_bytes > reply_bytes_max || got > reply_bytes) fail("a reply of impossible size");
    receive_all(fd, expected + got, reply_bytes - got);
}

// --- requests ------------------------------------------------------------------------------------

static const char key_sample[] = "k000000000";
enum { key_digits = sizeof key_sample - 2 };

static void write_request(char *to, const struct request *request, unsigned key) {
    memcpy(to, request->text, request->bytes);
    for (size_t digit = key_digits; request->key_place && key; key /= 10) {
        to[request->key_place + --digit] = (char)('0' + key % 10);
    }
}

static void fill_batch(void) {
    for (long i = 0; i < depth; i++) {
        dice = dice * 6364136223846793005u + 1442695040888963407u;
        write_request(batch + (size_t)i * asked.bytes, &asked, (unsigned)((dice >> 33) % records));
    }
}

/// A JSON object as programs store them: a few short members, then a longer text.
static void write_value(char *to) {
    int head = sprintf(to,
        "{\"id\":4711,\"name\":\"Ada Lovelace\",\"email\":\"ada@example.org\",\"active\":true,"
        "\"score\":98.25,\"tags\":[\"one\",\"two\",\"three\"],\"note\":\"");
    int at = head;
    while (at < value_bytes - 2) to[at] = (char)((at - head) % 7 == 6 ? ' ' : 'a' + at % 26), at++;
    memcpy(to + at, "\"}", 3);
}

static struct request about_a_key(const char *method, long port, int with_token, int with_value) {
    struct request request = {0};
    const char *token = getenv("TOKEN");
    if (with_token && !token) fail("TOKEN is not set");
    char value[value_bytes + 16], body[value_bytes + 64] = "";
    int body_bytes = 0;
    if (with_value) {
        write_value(value);
        body_bytes = snprintf(body, sizeof body, "{\"value\":%s}", value);
    }
    char length[64] = "";
    if (with_value) {
        snprintf(length, sizeof length,
            "Content-Type: application/json\r\nContent-Length: %d\r\n", body_bytes);
    }
    request.bytes = (size_t)snprintf(request.text, sizeof request.text,
        "%s /counts/key/%s HTTP/1.1\r\nHost: 127.0.0.1:%ld\r\n%s%s%s%s\r\n%s", method, key_sample,
        port, with_token ? "Authorization: Bearer " : "", with_token ? token : "",
        with_token ? "\r\n" : "", length, body);
    if (request.bytes >= sizeof request.text) fail("TOKEN is too long");
    request.key_place = (size_t)(strstr(request.text, key_sample) - request.text) + 1;
    return request;
}

/// What a Redis client says of a key.
static struct request command_on_a_key(int with_value) {
    struct request request = {0};
    char value[value_bytes + 16];
    write_value(value);
    request.bytes = (size_t)(with_value
        ? snprintf(request.text, sizeof request.text, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n",
            key_digits + 1, key_sample, value_bytes, value)
        : snprintf(request.text, sizeof request.text, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n",
            key_digits + 1, key_sample));
    request.key_place = (size_t)(strstr(request.text, key_sample) - request.text) + 1;
    return request;
}

/// Stores every record, unless the last is there already.
static void load_records(int fd, long port) {
    struct request get = speaks_resp ? command_on_a_key(0) : about_a_key("GET", port, 0, 0);
    struct request put = speaks_resp ? command_on_a_key(1) : about_a_key("PUT", port, 1, 1);
    const char *stored = speaks_resp ? "+OK\r\n" : "HTTP/1.1 201 ";
    const char *found = speaks_resp ? "$348\r\n" : "HTTP/1.1 200 ";
    char text[request_bytes_max + 1];
    write_request(text, &get, records - 1);
    send_all(fd, text, get.bytes);
    ssize_t count = recv(fd, text, sizeof text - 1, 0);
    if (count <= 0) fail("no reply");
    text[count] = 0;
    if (strncmp(text, found, strlen(found)) == 0) return;

    write_request(text, &put, 0);
    send_all(fd, text, put.bytes);
    learn_reply(fd);
    char *puts = malloc(put.bytes * load_depth), *answers = malloc(reply_bytes * load_depth);
    if (!puts || !answers) fail("no memory");
    // Twice: the first time a record is overwritten it gets a little longer and moves, once.
    for (unsigned key = 0; key < 2 * records; key += load_depth) {
        for (unsigned i = 0; i < load_depth; i++) {
            write_request(puts + i * put.bytes, &put, (key + i) % records);
        }
        send_all(fd, puts, put.bytes * load_depth);
        receive_all(fd, answers, reply_bytes * load_depth);
        if (memcmp(answers, stored, strlen(stored)) != 0) fail("not stored: %.60s", answers);
    }
    free(puts);
    free(answers);
}

/// One request on a connection of its own; its whole answer is in `text`.
static void ask(long port, const char *request, size_t count, char *text) {
    int fd = open_connection(port);
    send_all(fd, request, count);
    size_t got = 0;
    for (ssize_t read; (read = recv(fd, text + got, request_bytes_max - got, 0)) > 0;) {
        got += (size_t)read;
    }
    text[got] = 0;
    close(fd);
}

/// Waits until the node has loaded.
///
/// Valgrind runs one thread at a time, and does not know that waiting on a ring is waiting: while the
/// shard sleeps, the thread that loads stands still. So the shard is kept awake.
static void wait_until_ready(long port) {
    static const char ready[] = "GET /ready HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    static const char health[] = "GET /health HTTP/1.1\r\nHost: t\r\n\r\n";
    enum { together = 100 };
    char text[request_bytes_max + 1], many[sizeof health * together];
    for (int i = 0; i < together; i++) memcpy(many + i * (sizeof health - 1), health, sizeof health);
    for (;;) {
        ask(port, ready, sizeof ready - 1, text);
        if (strncmp(text, "HTTP/1.1 200 ", 13) == 0) return;
        int fd = open_connection(port);
        for (int i = 0; i < together; i++) send_all(fd, many, (sizeof health - 1) * together);
        shutdown(fd, SHUT_WR);
        while (recv(fd, text, request_bytes_max, 0) > 0) {}
        close(fd);
    }
}

/// Logs in and prints the token: as the admin, whose secret needs no hash, which would take longer
/// under callgrind than a connection may wait.
static void print_token(long port) {
    static const char body[] = "{\"secret\":\"counted\"}";
    char text[request_bytes_max + 1], request[request_bytes_max];
    int bytes = snprintf(request, sizeof request,
        "POST /auth/admin HTTP/1.1\r\nHost: 127.0.0.1:%ld\r\nConnection: close\r\n"
        "Content-Length: %zu\r\n\r\n%s", port, sizeof body - 1, body);
    wait_until_ready(port);
    ask(port, request, (size_t)bytes, text);
    char *start = strstr(text, "\"token\":\"");
    char *end = start ? strchr(start + 9, '"') : NULL;
    if (!end) fail("no token: %.80s", text);
    printf("%.*s\n", (int)(end - start - 9), start + 9);
}

static void run_rounds(long rounds) {
    for (long round = 0; round < rounds; round++) {
        for (long i = 0; i < connections; i++) {
            if (asked.key_place) fill_batch();
            send_all(sockets[i], batch, batch_bytes);
        }
        for (long i = 0; i < connections; i++) {
            receive_all(sockets[i], replies, reply_bytes * (size_t)depth);
            // The first and the last begin as replies begin; the lengths between then fit too.
            // (A Date header may change, so the bytes are not compared further.)
            const char *last = replies + reply_bytes * (size_t)(depth - 1);
            size_t alike = speaks_resp ? 5 : 13;
            if (memcmp(replies, expected, alike) != 0 || memcmp(last, expected, alike) != 0) {
                fail("a reply is not like the first: %.60s … %.60s", replies, last);
            }
        }
    }
}

static void command(const char *line) {
    if (system(line) != 0) fail("failed: %s", line);
}

int main(int count, char **arguments) {
    if (count == 3 && !strcmp(arguments[2], "token")) {
        alarm(seconds_max);
        print_token(strtol(arguments[1], NULL, 10));
        return 0;
    }
    if (count != 9) {
        fputs("usage: client PORT PATH|get|getauth|put|respget|respset CONNECTIONS DEPTH WARM_ROUNDS ROUNDS BEFORE AFTER\n"
              "       client PORT token\n", stderr);
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
    // Another sequence for each shape: a version of two digits would make a reply longer.
    dice += (unsigned long long)depth;

    const char *what = arguments[2];
    if (!strcmp(what, "get")) asked = about_a_key("GET", port, 0, 0);
    else if (!strcmp(what, "getauth")) asked = about_a_key("GET", port, 1, 0);
    else if (!strcmp(what, "put")) asked = about_a_key("PUT", port, 1, 1);
    else if (!strncmp(what, "resp", 4)) {
        speaks_resp = 1;
        asked = command_on_a_key(!strcmp(what, "respset"));
    }
    else {
        asked.bytes = (size_t)snprintf(asked.text, sizeof asked.text,
            "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%ld\r\n\r\n", what, port);
    }
    batch_bytes = asked.bytes * (size_t)depth;
    batch = malloc(batch_bytes);
    expected = malloc(reply_bytes_max + 1);
    if (!batch || !expected) fail("no memory");
    fill_batch();
    for (long i = 0; i < connections; i++) sockets[i] = open_connection(port);
    if (asked.key_place) load_records(sockets[0], port);
    send_all(sockets[0], batch, asked.bytes);
    learn_reply(sockets[0]);
    replies = malloc(reply_bytes * (size_t)depth);
    if (!replies) fail("no memory");

    run_rounds(warm_rounds);
    command(arguments[7]);
    run_rounds(rounds);
    command(arguments[8]);
    return 0;
}
