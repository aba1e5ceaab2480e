/* hiredis, the C client, against a node: replies, pipelines, large values, errors, channels.
 *
 *   hiredis_client PORT
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static redisContext *context;
static int failures;

static void report(const char *name, int holds) {
    printf("%s hiredis: %s\n", holds ? "ok" : "FAIL", name);
    if (!holds) {
        failures++;
        if (context->err) printf("%s\n", context->errstr);
    }
}

/* Whether a reply is this text: a string, a status or an error. */
static int says(redisReply *reply, const char *text) {
    int holds = reply != NULL && reply->str != NULL && strcmp(reply->str, text) == 0;
    if (reply != NULL) freeReplyObject(reply);
    return holds;
}

static int is(redisReply *reply, long long number) {
    int holds =
        reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer == number;
    if (reply != NULL) freeReplyObject(reply);
    return holds;
}

static void strings(void) {
    int holds = says(redisCommand(context, "SET %s %s", "greeting", "hello world"), "OK");
    holds &= says(redisCommand(context, "GET greeting"), "hello world");
    redisReply *none = redisCommand(context, "GET nothing");
    holds &= none != NULL && none->type == REDIS_REPLY_NIL;
    if (none != NULL) freeReplyObject(none);
    const char bytes[] = {0, (char)255, '\r', '\n'};
    holds &= says(redisCommand(context, "SET bytes %b", bytes, sizeof bytes), "OK");
    redisReply *back = redisCommand(context, "GET bytes");
    holds &= back != NULL && back->len == sizeof bytes && memcmp(back->str, bytes, sizeof bytes) == 0;
    if (back != NULL) freeReplyObject(back);
    holds &= is(redisCommand(context, "INCRBY n 42"), 42);
    report("strings, bytes, numbers and nothing", holds);
}

static void lists(void) {
    int holds = is(redisCommand(context, "RPUSH list a b c"), 3);
    redisReply *all = redisCommand(context, "LRANGE list 0 -1");
    holds &= all != NULL && all->type == REDIS_REPLY_ARRAY && all->elements == 3
        && strcmp(all->element[2]->str, "c") == 0;
    if (all != NULL) freeReplyObject(all);
    redisReply *error = redisCommand(context, "INCR list");
    holds &= error != NULL && error->type == REDIS_REPLY_ERROR
        && strncmp(error->str, "WRONGTYPE ", 10) == 0;
    if (error != NULL) freeReplyObject(error);
    report("lists, and the error for what is none", holds);
}

static void pipeline(void) {
    enum { count = 5000 };
    int holds = 1;
    for (int i = 0; i < count; i++) {
        redisAppendCommand(context, "SET p%d %d", i, i);
        redisAppendCommand(context, "GET p%d", i);
    }
    for (int i = 0; i < count; i++) {
        redisReply *reply = NULL;
        holds &= redisGetReply(context, (void **)&reply) == REDIS_OK && says(reply, "OK");
        reply = NULL;
        holds &= redisGetReply(context, (void **)&reply) == REDIS_OK && reply != NULL
            && reply->str != NULL && atoi(reply->str) == i;
        if (reply != NULL) freeReplyObject(reply);
    }
    report("a pipeline of ten thousand commands, in order", holds);
}

static void large(void) {
    size_t count = 5 << 20;
    char *value = malloc(count);
    for (size_t i = 0; i < count; i++) value[i] = (char)(i * 31);
    int holds = says(redisCommand(context, "SET large %b", value, count), "OK");
    redisReply *reply = redisCommand(context, "GET large");
    holds &= reply != NULL && reply->len == count && memcmp(reply->str, value, count) == 0;
    if (reply != NULL) freeReplyObject(reply);
    free(value);
    report("a value of five megabytes", holds);
}

static void transaction(void) {
    int holds = says(redisCommand(context, "MULTI"), "OK");
    holds &= says(redisCommand(context, "SET x 1"), "QUEUED");
    holds &= says(redisCommand(context, "INCR y"), "QUEUED");
    redisReply *reply = redisCommand(context, "EXEC");
    holds &= reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2
        && reply->element[1]->integer == 1;
    if (reply != NULL) freeReplyObject(reply);
    report("a transaction", holds);
}

static void channels(int port) {
    redisContext *listener = redisConnect("127.0.0.1", port);
    redisReply *reply = redisCommand(listener, "SUBSCRIBE news");
    int holds = reply != NULL && reply->elements == 3;
    if (reply != NULL) freeReplyObject(reply);
    holds &= is(redisCommand(context, "PUBLISH news now"), 1);
    reply = NULL;
    holds &= redisGetReply(listener, (void **)&reply) == REDIS_OK && reply != NULL
        && reply->elements == 3 && strcmp(reply->element[2]->str, "now") == 0;
    if (reply != NULL) freeReplyObject(reply);
    redisFree(listener);
    report("a message on a channel", holds);
}

int main(int argc, char **argv) {
    int port = argc > 1 ? atoi(argv[1]) : 6660;
    struct timeval limit = {10, 0};
    context = redisConnectWithTimeout("127.0.0.1", port, limit);
    if (context == NULL || context->err) {
        printf("FAIL hiredis: connecting\n");
        return 1;
    }
    redisSetTimeout(context, limit);
    strings();
    lists();
    pipeline();
    large();
    transaction();
    channels(port);
    redisFree(context);
    return failures > 0;
}
