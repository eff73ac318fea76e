#define _GNU_SOURCE
#include "linux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

int crop_accept(int listening, struct sockaddr *address, unsigned int *length) {
  return accept4(listening, address, length, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

int crop_drop_new_connections(int listening) {
  // A filter on a TCP socket sees packets from their TCP header on; byte 13 holds the flags (RFC 9293, section 3.1).
  enum { flags_offset = 13, syn = 0x02 };
  struct sock_filter steps[] = {
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, flags_offset),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, syn, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, 0),
    BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
  };
  struct sock_fprog program = {.len = sizeof steps / sizeof *steps, .filter = steps};
  return setsockopt(listening, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

int crop_allowed_processors(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}

static void *wait_at_gate(void *gate) {
  pthread_mutex_lock(gate);
  pthread_mutex_unlock(gate);
  return 0;
}

int crop_try_threads(int count, int *started) {
  pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
  pthread_t *threads = calloc(count, sizeof *threads);
  *started = 0;
  if (!threads) return ENOMEM;
  // None ends before the last has begun, so that all of them exist at once.
  pthread_mutex_lock(&gate);
  int failure = 0;
  while (*started < count && !(failure = pthread_create(&threads[*started], 0, wait_at_gate, &gate))) ++*started;
  pthread_mutex_unlock(&gate);
  for (int index = 0; index < *started; ++index) pthread_join(threads[index], 0);
  free(threads);
  return failure;
}

// The connection as its other end sees it: where this end is, that one goes to. False for anything but TCP over IP, and
// where the two ends have different addresses, that is, may be on different machines.
static int swapped_ends(int descriptor, struct inet_diag_req_v2 *query) {
  union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
  } own, peer;
  socklen_t own_length = sizeof own, peer_length = sizeof peer;
  memset(&own, 0, sizeof own);
  memset(&peer, 0, sizeof peer);
  if (getsockname(descriptor, &own.any, &own_length) || getpeername(descriptor, &peer.any, &peer_length)) return 0;
  if (own.any.sa_family != peer.any.sa_family) return 0;
  struct inet_diag_sockid *ends = &query->id;
  int is_local;
  if (own.any.sa_family == AF_INET) {
    uint32_t a = own.four.sin_addr.s_addr, b = peer.four.sin_addr.s_addr;
    is_local = a == b || (ntohl(a) >> 24 == 127 && ntohl(b) >> 24 == 127);
    ends->idiag_src[0] = b;
    ends->idiag_dst[0] = a;
    ends->idiag_sport = peer.four.sin_port;
    ends->idiag_dport = own.four.sin_port;
    query->sdiag_family = AF_INET;
  } else if (own.any.sa_family == AF_INET6) {
    is_local = memcmp(&own.six.sin6_addr, &peer.six.sin6_addr, sizeof own.six.sin6_addr) == 0;
    // An IPv4 client of a socket that serves both.
    query->sdiag_family = IN6_IS_ADDR_V4MAPPED(&peer.six.sin6_addr) ? AF_INET : AF_INET6;
    int skipped = query->sdiag_family == AF_INET ? 12 : 0;
    memcpy(ends->idiag_src, peer.six.sin6_addr.s6_addr + skipped, 16 - skipped);
    memcpy(ends->idiag_dst, own.six.sin6_addr.s6_addr + skipped, 16 - skipped);
    ends->idiag_sport = peer.six.sin6_port;
    ends->idiag_dport = own.six.sin6_port;
  } else {
    return 0;
  }
  query->sdiag_protocol = IPPROTO_TCP;
  query->idiag_states = ~0u;
  ends->idiag_cookie[0] = ends->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  return is_local;
}

int crop_peer_is_gone(int descriptor) {
  struct {
    struct nlmsghdr head;
    struct inet_diag_req_v2 query;
  } request;
  memset(&request, 0, sizeof request);
  request.head.nlmsg_len = sizeof request;
  request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.head.nlmsg_flags = NLM_F_REQUEST;
  if (!swapped_ends(descriptor, &request.query)) return -1;
  int kernel = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (kernel < 0) return -1;
  // The answer is there when send returns; the timeout is for a kernel that thinks otherwise.
  struct timeval patience = {.tv_usec = 10000};
  setsockopt(kernel, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  _Alignas(struct nlmsghdr) char answer[1024];
  ssize_t length = -1;
  if (send(kernel, &request, sizeof request, 0) == sizeof request) length = recv(kernel, answer, sizeof answer, 0);
  close(kernel);
  struct nlmsghdr head;
  if (length < (ssize_t)sizeof head) return -1;
  memcpy(&head, answer, sizeof head);
  const size_t payload = NLMSG_LENGTH(0);
  if (head.nlmsg_type == NLMSG_ERROR) {
    struct nlmsgerr failure;
    if ((size_t)length < payload + sizeof failure) return -1;
    memcpy(&failure, answer + payload, sizeof failure);
    // Both ends are here, and one does not exist any more.
    return failure.error == -2 /* ENOENT */ ? 1 : -1;
  }
  struct inet_diag_msg found;
  if (head.nlmsg_type != SOCK_DIAG_BY_FAMILY || (size_t)length < payload + sizeof found) return -1;
  memcpy(&found, answer + payload, sizeof found);
  // No file refers to a socket that was closed; the kernel keeps it for the rest of the protocol.
  return found.idiag_inode == 0;
}

void crop_trim_memory(void) {
  malloc_trim(0);
}

void crop_map_arrays_from(int size) {
  mallopt(M_MMAP_THRESHOLD, size);
  mallopt(M_TRIM_THRESHOLD, 2 * size);
}

void crop_begin_thread(const char *name, int level) {
  prctl(PR_SET_NAME, name);
  // On Linux both are about the calling thread alone, whatever POSIX says. Neither needs a privilege; a sandbox that
  // forbids them leaves the thread as it is.
  struct sched_param none = {0};
  if (level == 1) setpriority(PRIO_PROCESS, 0, 10);
  if (level == 2) sched_setscheduler(0, SCHED_IDLE, &none);
}

long crop_receive(int socket, void *buffer, size_t size, int descriptors[CROP_DESCRIPTORS], int *count) {
  union {
    struct cmsghdr aligned;
    char bytes[CMSG_SPACE(sizeof(int) * CROP_DESCRIPTORS)];
  } control;
  struct iovec part = {.iov_base = buffer, .iov_len = size};
  struct msghdr message = {
    .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  *count = 0;
  ssize_t received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (received < 0) return received;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t bytes = part->cmsg_len - CMSG_LEN(0);
    memcpy(descriptors, CMSG_DATA(part), bytes);
    *count = (int)(bytes / sizeof(int));
  }
  if (*count == 0 && message.msg_flags & MSG_CTRUNC) *count = -1;
  return received;
}

int crop_is_memory(int descriptor) {
  // Only memory has seals to ask for (fcntl(2)); other files say EINVAL.
  if (fcntl(descriptor, F_GET_SEALS) < 0) return 0;
  int flags = fcntl(descriptor, F_GETFL);
  return flags >= 0 && !(flags & O_PATH) && (flags & O_ACCMODE) != O_WRONLY;
}
