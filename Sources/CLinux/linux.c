#define _GNU_SOURCE
#include "linux.h"

#include <sys/socket.h>

#ifdef __linux__
int crop_accept(int listening, struct sockaddr *address, unsigned int *length) {
  return accept4(listening, address, length, SOCK_CLOEXEC | SOCK_NONBLOCK);
}
#endif
