/* Load generator: one thread, one epoll, N keep-alive connections, each sending its next request when answered.
 *
 *     cc -O2 -o load load.c
 *     ./load --port P --path '/prune?keep_tokens=64' --body FILE --connections 16 --seconds 2 [--warm-up 0.3]
 *            [--content-type application/octet-stream]
 *
 * Prints one JSON object: requests, seconds, req_per_s, p50_us, p99_us, max_us, errors, client_cpu_s. A latency runs from
 * the first byte sent to the last byte received. An error is a status other than 200 or a broken connection; a
 * broken connection is not reopened. Requests begun during the warm-up are not counted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_LIMIT = 1 << 20, CONNECTIONS_MAX = 1024, EVENTS = 64 };

struct connection {
    int socket;
    int wants_write;
    size_t sent;
    size_t filled;
    size_t needed; /* bytes of the whole answer; 0 until its head is complete */
    long began;
    char *answer;
};

static struct {
    char *bytes;
    size_t length;
} request;

static struct {
    unsigned *microseconds;
    size_t count, capacity;
} latencies;

static int poller;
static long errors, alive, counted_from;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void make_request(const char *path, const char *type, const char *file) {
    int body = open(file, O_RDONLY);
    struct stat status;
    if (body < 0 || fstat(body, &status) < 0) fail(file);
    size_t size = (size_t)status.st_size, room = strlen(path) + strlen(type) + 256;
    request.bytes = malloc(room + size);
    if (!request.bytes) fail("malloc");
    int head = snprintf(request.bytes, room,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", path, type,
                        size);
    for (size_t got = 0; got < size;) {
        ssize_t n = read(body, request.bytes + head + got, size - got);
        if (n <= 0) fail("read");
        got += (size_t)n;
    }
    request.length = (size_t)head + size;
    close(body);
}

static void record(long nanoseconds) {
    if (latencies.count == latencies.capacity) {
        latencies.capacity = latencies.capacity ? latencies.capacity * 2 : 65536;
        latencies.microseconds = realloc(latencies.microseconds, latencies.capacity * sizeof(unsigned));
        if (!latencies.microseconds) fail("realloc");
    }
    latencies.microseconds[latencies.count++] = (unsigned)(nanoseconds / 1000);
}

static void drop(struct connection *c) {
    close(c->socket);
    c->socket = -1;
    errors++;
    alive--;
}

static void watch(struct connection *c, int wants_write) {
    if (c->wants_write == wants_write) return;
    c->wants_write = wants_write;
    struct epoll_event event = {.events = wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->socket, &event);
}

static void push(struct connection *c) {
    while (c->sent < request.length) {
        ssize_t n = send(c->socket, request.bytes + c->sent, request.length - c->sent, MSG_NOSIGNAL);
        if (n > 0) c->sent += (size_t)n;
        else if (errno == EAGAIN) break;
        else if (errno != EINTR) return drop(c);
    }
    watch(c, c->sent < request.length);
}

static void begin(struct connection *c) {
    c->sent = c->filled = c->needed = 0;
    c->began = now_ns();
    push(c);
}

/* Bytes of the whole answer, or 0 while the head is incomplete; -1 for an answer without a length. */
static long answer_size(const struct connection *c) {
    const char *end = memmem(c->answer, c->filled, "\r\n\r\n", 4);
    if (!end) return 0;
    const char *line = c->answer;
    while (line < end) {
        if (strncasecmp(line, "content-length:", 15) == 0)
            return (end - c->answer) + 4 + strtol(line + 15, NULL, 10);
        line = (const char *)memchr(line, '\n', (size_t)(end + 2 - line)) + 1;
    }
    return -1;
}

static void finish(struct connection *c) {
    if (c->began >= counted_from) {
        if (strncmp(c->answer, "HTTP/1.1 200", 12) == 0) record(now_ns() - c->began);
        else errors++;
    }
    begin(c);
}

static void pull(struct connection *c) {
    for (;;) {
        ssize_t n = recv(c->socket, c->answer + c->filled, ANSWER_LIMIT - c->filled, 0);
        if (n > 0) {
            c->filled += (size_t)n;
            if (!c->needed) {
                long size = answer_size(c);
                if (size < 0 || size > ANSWER_LIMIT) return drop(c);
                c->needed = (size_t)size;
            }
            if (c->needed && c->filled >= c->needed) return finish(c);
        } else if (n < 0 && errno == EAGAIN) {
            return;
        } else if (n == 0 || errno != EINTR) {
            return drop(c);
        }
    }
}

static void open_connection(struct connection *c, unsigned short port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (c->socket < 0 || connect(c->socket, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->socket, F_SETFL, O_NONBLOCK);
    c->answer = malloc(ANSWER_LIMIT);
    if (!c->answer) fail("malloc");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->socket, &event) < 0) fail("epoll_ctl");
    alive++;
    begin(c);
}

static int ascending(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return (x > y) - (x < y);
}

static void report(double seconds) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    size_t n = latencies.count;
    qsort(latencies.microseconds, n, sizeof(unsigned), ascending);
    unsigned p50 = n ? latencies.microseconds[n / 2] : 0, p99 = n ? latencies.microseconds[n * 99 / 100] : 0;
    printf("{\"requests\":%zu,\"seconds\":%.4f,\"req_per_s\":%.1f,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,"
           "\"errors\":%ld,\"client_cpu_s\":%.3f}\n",
           n, seconds, (double)n / seconds, p50, p99, n ? latencies.microseconds[n - 1] : 0, errors, cpu);
}

int main(int count, char **arguments) {
    const char *path = "/", *body = NULL, *type = "application/octet-stream";
    long port = 0, connections = 1;
    double seconds = 2, warm_up = 0.3;
    for (int i = 1; i + 1 < count; i += 2) {
        const char *name = arguments[i], *value = arguments[i + 1];
        if (!strcmp(name, "--port")) port = strtol(value, NULL, 10);
        else if (!strcmp(name, "--path")) path = value;
        else if (!strcmp(name, "--body")) body = value;
        else if (!strcmp(name, "--content-type")) type = value;
        else if (!strcmp(name, "--connections")) connections = strtol(value, NULL, 10);
        else if (!strcmp(name, "--seconds")) seconds = strtod(value, NULL);
        else if (!strcmp(name, "--warm-up")) warm_up = strtod(value, NULL);
        else return fprintf(stderr, "unknown option %s\n", name), 2;
    }
    if (!body || port < 1 || port > 65535 || connections < 1 || connections > CONNECTIONS_MAX)
        return fprintf(stderr, "need --port, --body and 1...%d connections\n", CONNECTIONS_MAX), 2;
    make_request(path, type, body);
    if ((poller = epoll_create1(0)) < 0) fail("epoll_create1");
    static struct connection all[CONNECTIONS_MAX];
    counted_from = now_ns() + (long)(warm_up * 1e9);
    long end = counted_from + (long)(seconds * 1e9);
    for (long i = 0; i < connections; i++) open_connection(&all[i], (unsigned short)port);
    struct epoll_event events[EVENTS];
    while (alive && now_ns() < end) {
        int ready = epoll_wait(poller, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) push(c);
            if (c->socket >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) pull(c);
        }
    }
    report((double)(now_ns() - counted_from) / 1e9);
    return alive ? 0 : 1;
}
