/* Load generator: N keep-alive connections on T threads, each sending its next request when the last is answered.
 *
 *     cc -O2 -pthread -o load load.c
 *     ./load --port P | --unix PATH  --path '/prune?keep_tokens=64' --body FILE [--connections 16] [--threads 1]
 *            [--seconds 2] [--warm-up 0.3] [--requests 0] [--idle 0] [--expect FILE] [--check-every 64]
 *            [--content-type application/octet-stream] [--header 'Name: value'] [--share 0]
 *
 * A thread has one epoll and its share of the connections. Prints one JSON object. A latency runs from the first byte
 * sent to the last byte received, and goes into a histogram whose steps are 1/128 of the value. `--expect` names bytes
 * that an answer must contain; the first answer of a connection and every 64th are searched for them, of all others the
 * length must be that of a searched one within 64 bytes (a duration in a header may have more digits). Counted apart:
 * `non_2xx`, `broken` (connections that ended, which are not opened again), `wrong` (answers without what was expected).
 * `--requests` ends the run after so many in all. `--idle` opens so many connections more that never say anything.
 * With `--share 1` the body lies in memory (memfd_create) whose descriptor goes with each head over the Unix socket.
 * Requests answered during the warm-up are not counted; what the whole run did, warm-up included, is in `all_requests`
 * and `all_seconds`, for whoever divides the CPU time of a process by it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_LIMIT = 1 << 20, CONNECTIONS_MAX = 4096, THREADS_MAX = 8, EVENTS = 64 };
enum { STEP_BITS = 7, STEPS = 1 << STEP_BITS, BUCKETS = 40 << STEP_BITS };

struct connection {
    struct worker *worker;
    int socket;
    int wants_write;
    int is_chunked;
    size_t sent;
    size_t filled;
    size_t needed; /* bytes of the whole answer; 0 until its head is complete, or while it is chunked */
    size_t searched; /* bytes of the last answer that was searched */
    long turn;
    long began;
    char *answer;
};

struct worker {
    pthread_t thread;
    int poller;
    struct connection *connections;
    long count, alive, finished;
    long counted, non_2xx, broken, wrong;
    unsigned long bytes_sent, bytes_received, sum_ns, max_ns;
    unsigned histogram[BUCKETS];
};

static struct {
    const char *path, *type, *header, *unix_path;
    long port, connections, threads, requests, idle, check_every, share;
    double seconds, warm_up;
} options = {.path = "/", .type = "application/octet-stream", .header = "", .connections = 1, .threads = 1, .check_every = 64,
             .seconds = 2, .warm_up = 0.3};

static struct {
    char *bytes;
    size_t length;
} request, expected;

/* What bodies lie in when they are shared. */
static int memory = -1;

static long counted_from, ends_at;
static atomic_long started;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

/* Reads a file behind `room` free bytes. */
static char *read_file(const char *name, size_t room, size_t *size) {
    int file = open(name, O_RDONLY);
    struct stat status;
    if (file < 0 || fstat(file, &status) < 0) fail(name);
    *size = (size_t)status.st_size;
    char *bytes = malloc(room + *size + 1);
    if (!bytes) fail("malloc");
    for (size_t got = 0; got < *size;) {
        ssize_t n = read(file, bytes + room + got, *size - got);
        if (n <= 0) fail(name);
        got += (size_t)n;
    }
    close(file);
    return bytes;
}

static void make_request(const char *file) {
    size_t room = strlen(options.path) + strlen(options.type) + strlen(options.header) + 256, size;
    char *bytes = read_file(file, room, &size), head[room], shared[64] = "";
    if (options.share) {
        if ((memory = memfd_create("load", 0)) < 0 || write(memory, bytes + room, size) != (ssize_t)size) fail("memfd_create");
        snprintf(shared, sizeof shared, "\r\nCrop-Shared-Memory: length=%zu", size);
        size = 0;
    }
    int length = snprintf(head, room, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nContent-Length: %zu%s%s%s\r\n\r\n",
                          options.path, options.type, size, shared, *options.header ? "\r\n" : "", options.header);
    request.bytes = bytes + room - length;
    memcpy(request.bytes, head, (size_t)length);
    request.length = (size_t)length + size;
}

static unsigned bucket(unsigned long ns) {
    if (ns < STEPS) return (unsigned)ns;
    int shift = 63 - __builtin_clzl(ns) - STEP_BITS;
    unsigned long index = ((unsigned long)(shift + 1) << STEP_BITS) + ((ns >> shift) & (STEPS - 1));
    return index < BUCKETS ? (unsigned)index : BUCKETS - 1;
}

/* The middle of a bucket. */
static double bucket_ns(unsigned index) {
    if (index < STEPS) return index;
    int shift = (int)(index >> STEP_BITS) - 1;
    return ((double)(STEPS + (index & (STEPS - 1))) + 0.5) * (double)(1UL << shift);
}

static void drop(struct connection *c) {
    close(c->socket);
    c->socket = -1;
    c->worker->broken++;
    c->worker->alive--;
}

static void watch(struct connection *c, int wants_write) {
    if (c->wants_write == wants_write) return;
    c->wants_write = wants_write;
    struct epoll_event event = {.events = wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(c->worker->poller, EPOLL_CTL_MOD, c->socket, &event);
}

/* Sends what is left of the request; with the first byte of a head the memory that holds its body. */
static ssize_t send_rest(struct connection *c) {
    char *bytes = request.bytes + c->sent;
    size_t length = request.length - c->sent;
    if (memory < 0 || c->sent > 0) return send(c->socket, bytes, length, MSG_NOSIGNAL);
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof memory)];
    } control = {.head = {.cmsg_len = CMSG_LEN(sizeof memory), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.head), &memory, sizeof memory);
    struct iovec part = {.iov_base = bytes, .iov_len = length};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    return sendmsg(c->socket, &message, MSG_NOSIGNAL);
}

static void push(struct connection *c) {
    while (c->sent < request.length) {
        ssize_t n = send_rest(c);
        if (n > 0) {
            c->sent += (size_t)n;
            c->worker->bytes_sent += (unsigned long)n;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            return drop(c);
        }
    }
    watch(c, c->sent < request.length);
}

static void begin(struct connection *c) {
    if (options.requests && atomic_fetch_add(&started, 1) >= options.requests) {
        close(c->socket);
        c->socket = -1;
        c->worker->alive--;
        return;
    }
    c->sent = c->filled = c->needed = 0;
    c->is_chunked = 0;
    c->began = now_ns();
    push(c);
}

/* Learns from a complete head how the answer ends; -1 for one that does not say. */
static int read_head(struct connection *c) {
    const char *end = memmem(c->answer, c->filled, "\r\n\r\n", 4);
    if (!end) return 0;
    const char *line = c->answer;
    while (line < end) {
        if (strncasecmp(line, "content-length:", 15) == 0) {
            c->needed = (size_t)(end - c->answer) + 4 + strtoul(line + 15, NULL, 10);
            return c->needed > ANSWER_LIMIT ? -1 : 0;
        }
        if (strncasecmp(line, "transfer-encoding: chunked", 26) == 0) return c->is_chunked = 1, 0;
        line = (const char *)memchr(line, '\n', (size_t)(end + 2 - line)) + 1;
    }
    return -1;
}

static int is_complete(const struct connection *c) {
    if (c->is_chunked) return c->filled > 5 && memcmp(c->answer + c->filled - 5, "0\r\n\r\n", 5) == 0;
    return c->needed && c->filled >= c->needed;
}

static int is_as_expected(struct connection *c) {
    if (!expected.length) return 1;
    if (c->turn++ % options.check_every == 0) {
        c->searched = c->filled;
        return memmem(c->answer, c->filled, expected.bytes, expected.length) != NULL;
    }
    size_t more = c->filled > c->searched ? c->filled - c->searched : c->searched - c->filled;
    return more <= 64;
}

static void finish(struct connection *c) {
    struct worker *w = c->worker;
    long now = now_ns();
    w->finished++;
    w->bytes_received += c->filled;
    if (strncmp(c->answer, "HTTP/1.1 2", 10) != 0) w->non_2xx++;
    else if (!is_as_expected(c)) w->wrong++;
    else if (now >= counted_from) {
        unsigned long ns = (unsigned long)(now - c->began);
        w->counted++;
        w->sum_ns += ns;
        if (ns > w->max_ns) w->max_ns = ns;
        w->histogram[bucket(ns)]++;
    }
    begin(c);
}

static void pull(struct connection *c) {
    for (;;) {
        ssize_t n = recv(c->socket, c->answer + c->filled, ANSWER_LIMIT - c->filled, 0);
        if (n > 0) {
            c->filled += (size_t)n;
            if (!c->needed && !c->is_chunked && read_head(c) < 0) return drop(c);
            if (is_complete(c)) return finish(c);
        } else if (n < 0 && errno == EAGAIN) {
            return;
        } else if (n == 0 || errno != EINTR) {
            return drop(c);
        }
    }
}

static int open_socket(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)options.port)};
    struct sockaddr_un file = {.sun_family = AF_UNIX};
    int one = 1, handle = socket(options.unix_path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    if (handle < 0) fail("socket");
    if (options.unix_path) {
        snprintf(file.sun_path, sizeof file.sun_path, "%s", options.unix_path);
        if (connect(handle, (struct sockaddr *)&file, sizeof file) < 0) fail("connect");
    } else {
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (connect(handle, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
        setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    fcntl(handle, F_SETFL, O_NONBLOCK);
    return handle;
}

static void *work(void *argument) {
    struct worker *w = argument;
    struct epoll_event events[EVENTS];
    if ((w->poller = epoll_create1(0)) < 0) fail("epoll_create1");
    for (long i = 0; i < w->count; i++) {
        struct connection *c = &w->connections[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        c->worker = w;
        c->answer = malloc(ANSWER_LIMIT);
        if (!c->answer || epoll_ctl(w->poller, EPOLL_CTL_ADD, c->socket, &event) < 0) fail("epoll_ctl");
        w->alive++;
    }
    for (long i = 0; i < w->count; i++) begin(&w->connections[i]);
    while (w->alive && now_ns() < ends_at) {
        int ready = epoll_wait(w->poller, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) push(c);
            if (c->socket >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) pull(c);
        }
    }
    return NULL;
}

static void add(struct worker *total, const struct worker *w) {
    total->finished += w->finished;
    total->counted += w->counted;
    total->non_2xx += w->non_2xx;
    total->broken += w->broken;
    total->wrong += w->wrong;
    total->bytes_sent += w->bytes_sent;
    total->bytes_received += w->bytes_received;
    total->sum_ns += w->sum_ns;
    if (w->max_ns > total->max_ns) total->max_ns = w->max_ns;
    for (int i = 0; i < BUCKETS; i++) total->histogram[i] += w->histogram[i];
}

static double percentile_us(const struct worker *total, double share) {
    long rank = (long)(share * (double)total->counted), seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += total->histogram[i];
        if (seen > rank) return bucket_ns(i) / 1000;
    }
    return (double)total->max_ns / 1000;
}

static void report(const struct worker *total, double seconds, double all_seconds) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    double mean = total->counted ? (double)total->sum_ns / (double)total->counted / 1000 : 0;
    printf("{\"requests\":%ld,\"seconds\":%.4f,\"req_per_s\":%.1f,\"mean_us\":%.1f,\"p50_us\":%.1f,\"p90_us\":%.1f,"
           "\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,\"non_2xx\":%ld,\"broken\":%ld,\"wrong\":%ld,"
           "\"bytes_sent\":%lu,\"bytes_received\":%lu,\"request_bytes\":%zu,\"all_requests\":%ld,\"all_seconds\":%.4f,"
           "\"client_cpu_s\":%.4f}\n",
           total->counted, seconds, (double)total->counted / seconds, mean, percentile_us(total, 0.5),
           percentile_us(total, 0.9), percentile_us(total, 0.99), percentile_us(total, 0.999),
           (double)total->max_ns / 1000, total->non_2xx, total->broken, total->wrong, total->bytes_sent,
           total->bytes_received, request.length, total->finished, all_seconds, cpu);
}

static const char *read_options(int count, char **arguments) {
    const char *body = NULL;
    for (int i = 1; i + 1 < count; i += 2) {
        const char *name = arguments[i], *value = arguments[i + 1];
        if (!strcmp(name, "--port")) options.port = strtol(value, NULL, 10);
        else if (!strcmp(name, "--unix")) options.unix_path = value;
        else if (!strcmp(name, "--path")) options.path = value;
        else if (!strcmp(name, "--body")) body = value;
        else if (!strcmp(name, "--content-type")) options.type = value;
        else if (!strcmp(name, "--header")) options.header = value;
        else if (!strcmp(name, "--connections")) options.connections = strtol(value, NULL, 10);
        else if (!strcmp(name, "--threads")) options.threads = strtol(value, NULL, 10);
        else if (!strcmp(name, "--requests")) options.requests = strtol(value, NULL, 10);
        else if (!strcmp(name, "--share")) options.share = strtol(value, NULL, 10);
        else if (!strcmp(name, "--idle")) options.idle = strtol(value, NULL, 10);
        else if (!strcmp(name, "--check-every")) options.check_every = strtol(value, NULL, 10);
        else if (!strcmp(name, "--expect")) expected.bytes = read_file(value, 0, &expected.length);
        else if (!strcmp(name, "--seconds")) options.seconds = strtod(value, NULL);
        else if (!strcmp(name, "--warm-up")) options.warm_up = strtod(value, NULL);
        else fprintf(stderr, "unknown option %s\n", name), exit(2);
    }
    if (!body || (!options.unix_path && (options.port < 1 || options.port > 65535)) || options.connections < 1 ||
        options.connections > CONNECTIONS_MAX || options.threads < 1 || options.threads > THREADS_MAX ||
        options.check_every < 1 || options.idle < 0 || (options.share && !options.unix_path))
        fprintf(stderr, "need --body, --port or --unix, 1...%d connections and 1...%d threads\n", CONNECTIONS_MAX,
                THREADS_MAX), exit(2);
    if (options.threads > options.connections) options.threads = options.connections;
    return body;
}

int main(int count, char **arguments) {
    make_request(read_options(count, arguments));
    static struct worker workers[THREADS_MAX], total;
    for (long i = 0; i < options.idle; i++) open_socket();
    for (long t = 0; t < options.threads; t++) {
        struct worker *w = &workers[t];
        w->count = options.connections / options.threads + (t < options.connections % options.threads);
        w->connections = calloc((size_t)w->count, sizeof *w->connections);
        if (!w->connections) fail("calloc");
        for (long i = 0; i < w->count; i++) w->connections[i].socket = open_socket();
    }
    long start = now_ns(), alive = 0;
    counted_from = start + (long)(options.warm_up * 1e9);
    ends_at = counted_from + (long)(options.seconds * 1e9);
    for (long t = 1; t < options.threads; t++)
        if (pthread_create(&workers[t].thread, NULL, work, &workers[t])) fail("pthread_create");
    work(&workers[0]);
    for (long t = 1; t < options.threads; t++) pthread_join(workers[t].thread, NULL);
    long end = now_ns();
    for (long t = 0; t < options.threads; t++) add(&total, &workers[t]), alive += workers[t].alive;
    report(&total, (double)(end - counted_from) / 1e9, (double)(end - start) / 1e9);
    return alive || options.requests ? 0 : 1;
}
