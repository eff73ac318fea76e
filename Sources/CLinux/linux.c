#define _GNU_SOURCE
#include "linux.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#ifdef __linux__
#include <linux/filter.h>

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

void crop_begin_thread(const char *name, int level) {
  prctl(PR_SET_NAME, name);
  // On Linux both are about the calling thread alone, whatever POSIX says. Neither needs a privilege; a sandbox that
  // forbids them leaves the thread as it is.
  struct sched_param none = {0};
  if (level == 1) setpriority(PRIO_PROCESS, 0, 10);
  if (level == 2) sched_setscheduler(0, SCHED_IDLE, &none);
}
#endif
