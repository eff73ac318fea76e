// System calls that Swift's Glibc module does not surface (Swift 6.3): epoll, eventfd, accept4, packet filters, descriptors
// that are passed over sockets.
#ifndef CROP_LINUX_H
#define CROP_LINUX_H
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

struct sockaddr;

/// accept4(2) with SOCK_CLOEXEC and SOCK_NONBLOCK. <sys/socket.h> is not included here: its constants would
/// move from the Glibc module into this one.
int crop_accept(int listening, struct sockaddr *address, unsigned int *length);

/// Drops the SYN packets that come to a listening TCP socket, IPv4 or IPv6, so that no handshake begins; what has
/// begun is finished. Returns 0, or -1 with errno.
int crop_drop_new_connections(int listening);

/// Whether the process at the other end of a TCP connection within this machine has let go of its socket: 1 if it has, 0 if
/// not, -1 where the kernel does not tell, as of peers on other machines. A closed socket and one that is only done with
/// sending send the same FIN; this asks sock_diag(7) which it is.
int crop_peer_is_gone(int descriptor);

/// Has the allocator give the pages that it keeps back to the system, where it can.
void crop_trim_memory(void);

/// Has the allocator map arrays of `size` bytes and more for themselves, so that they go back to the system when they are
/// freed, and keep no more than twice that at the end of each of its heaps.
void crop_map_arrays_from(int size);

/// Names the calling thread (at most 15 bytes), and lowers its priority: at level 1 as nice(1) does, at level 2
/// as SCHED_IDLE.
void crop_begin_thread(const char *name, int level);

/// Starts `count` threads that do nothing, and ends them again. Returns 0, or the error number of the first that could
/// not be started, with the number of those that could in `started`.
int crop_try_threads(int count, int *started);

/// How many processors the process may run on (sched_getaffinity(2)), 0 where the system does not say.
int crop_allowed_processors(void);

/// The most descriptors that come at once (the kernel's SCM_MAX_FD).
#define CROP_DESCRIPTORS 253

/// recv(2) of a Unix socket that takes over the descriptors which come with the bytes (SCM_RIGHTS), to be closed by the
/// caller, who is told how many there are; -1 for `count` where the system had no room for one. Returns what recv does.
long crop_receive(int socket, void *buffer, size_t size, int descriptors[CROP_DESCRIPTORS], int *count);

/// Whether a descriptor is of memory of the kernel's (memfd_create, shm_open, any file of a tmpfs) and open for reading:
/// reads then end at once, and never wait for a disk, a peer or a file system of the client's.
int crop_is_memory(int descriptor);
#endif
