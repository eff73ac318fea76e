/* The limit to compare with: an HTTP server that receives a body and answers a constant.
 *
 *     cc -O2 -pthread -o echo echo.c && ./echo [--port 0] [--threads 2] [--spin-us 0] [--answer-bytes 400]
 *            [--delay-us 0]
 *
 * One epoll loop per thread; connections are handed out in turn. A body is read into its connection's buffer, which is
 * kept for the next request. `--spin-us` polls the socket that long inside a body before sleeping. `--delay-us` computes
 * for that long before each answer, which shows whether a load generator measures what it says. Prints
 * "listening 127.0.0.1:PORT" on standard error.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_LIMIT = 16384, EVENTS = 64, THREADS_MAX = 64 };

struct connection {
    int socket;
    char *buffer;
    size_t capacity;
    size_t filled;
    size_t needed; /* bytes of head and body; 0 until the head is complete */
};

static char *answer;
static size_t answer_length;
static long spin_ns, delay_ns;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void make_answer(size_t bytes) {
    char head[128];
    int head_length = snprintf(head, sizeof head,
                               "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", bytes);
    answer_length = (size_t)head_length + bytes;
    answer = malloc(answer_length);
    if (!answer) fail("malloc");
    memcpy(answer, head, (size_t)head_length);
    memset(answer + head_length, ' ', bytes);
    answer[head_length] = '{';
    answer[answer_length - 1] = '}';
}

/* The value of Content-Length, 0 when there is none. */
static size_t content_length(const char *head, size_t length) {
    const char *line = head, *end = head + length;
    while (line < end) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        if (!next) break;
        if ((size_t)(next - line) > 15 && strncasecmp(line, "content-length:", 15) == 0)
            return strtoull(line + 15, NULL, 10);
        line = next + 1;
    }
    return 0;
}

static void reserve(struct connection *c, size_t capacity) {
    if (c->capacity >= capacity) return;
    c->buffer = realloc(c->buffer, capacity);
    if (!c->buffer) fail("realloc");
    c->capacity = capacity;
}

static int send_answer(int socket) {
    size_t sent = 0;
    while (sent < answer_length) {
        ssize_t n = send(socket, answer + sent, answer_length - sent, MSG_NOSIGNAL);
        if (n > 0) sent += (size_t)n;
        else if (errno != EAGAIN && errno != EINTR) return -1;
    }
    return 0;
}

/* Takes what has arrived; -1 when a complete request could not be answered or is malformed. */
static int advance(struct connection *c) {
    if (!c->needed) {
        char *end = memmem(c->buffer, c->filled, "\r\n\r\n", 4);
        if (!end) return c->filled < HEAD_LIMIT ? 0 : -1;
        size_t head = (size_t)(end - c->buffer) + 4;
        c->needed = head + content_length(c->buffer, head);
        reserve(c, c->needed > HEAD_LIMIT ? c->needed : HEAD_LIMIT);
    }
    if (c->filled < c->needed) return 0;
    for (long start = delay_ns ? now_ns() : 0; delay_ns && now_ns() - start < delay_ns;) continue;
    c->filled = c->needed = 0; /* clients of this benchmark do not pipeline */
    return send_answer(c->socket);
}

/* Reads until the socket is empty; -1 when the connection is over. */
static int receive(struct connection *c) {
    long deadline = 0;
    for (;;) {
        size_t limit = c->needed ? c->needed : HEAD_LIMIT;
        ssize_t n = recv(c->socket, c->buffer + c->filled, limit - c->filled, 0);
        if (n > 0) {
            c->filled += (size_t)n;
            deadline = 0;
            if (advance(c) < 0) return -1;
        } else if (n == 0) {
            return -1;
        } else if (errno == EAGAIN) {
            if (!spin_ns || !c->needed) return 0;
            long now = now_ns();
            if (!deadline) deadline = now + spin_ns;
            if (now >= deadline) return 0;
        } else if (errno != EINTR) {
            return -1;
        }
    }
}

static void *loop(void *argument) {
    int poller = *(int *)argument;
    struct epoll_event events[EVENTS];
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (receive(c) < 0) {
                close(c->socket);
                free(c->buffer);
                free(c);
            }
        }
    }
    return NULL;
}

static int listen_on(unsigned short port) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1024) < 0)
        fail("listen");
    socklen_t length = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &length);
    fprintf(stderr, "listening 127.0.0.1:%d\n", ntohs(address.sin_port));
    return listener;
}

static void hand_out(int listener, const int *pollers, long threads) {
    for (long turn = 0;; turn++) {
        int one = 1, socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (socket < 0) continue;
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *c = calloc(1, sizeof *c);
        if (!c) fail("calloc");
        c->socket = socket;
        reserve(c, HEAD_LIMIT);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(pollers[turn % threads], EPOLL_CTL_ADD, socket, &event);
    }
}

int main(int count, char **arguments) {
    long port = 0, threads = 2, answer_bytes = 400;
    for (int i = 1; i + 1 < count; i += 2) {
        long value = strtol(arguments[i + 1], NULL, 10);
        if (!strcmp(arguments[i], "--port")) port = value;
        else if (!strcmp(arguments[i], "--threads")) threads = value;
        else if (!strcmp(arguments[i], "--spin-us")) spin_ns = value * 1000;
        else if (!strcmp(arguments[i], "--delay-us")) delay_ns = value * 1000;
        else if (!strcmp(arguments[i], "--answer-bytes")) answer_bytes = value;
        else return fprintf(stderr, "unknown option %s\n", arguments[i]), 2;
    }
    if (threads < 1 || threads > THREADS_MAX || answer_bytes < 2) return fprintf(stderr, "option out of range\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    make_answer((size_t)answer_bytes);
    int pollers[THREADS_MAX];
    for (long i = 0; i < threads; i++) {
        pthread_t thread;
        if ((pollers[i] = epoll_create1(0)) < 0) fail("epoll_create1");
        if (pthread_create(&thread, NULL, loop, &pollers[i])) fail("pthread_create");
    }
    hand_out(listen_on((unsigned short)port), pollers, threads);
}
