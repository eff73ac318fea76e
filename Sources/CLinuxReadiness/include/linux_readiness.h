// Swift's Glibc module has no <sys/epoll.h> or <sys/eventfd.h> (Swift 6.3); this header surfaces them.
#ifndef CROP_LINUX_READINESS_H
#define CROP_LINUX_READINESS_H
#include <sys/epoll.h>
#include <sys/eventfd.h>
#endif
