/* Makes writing fail as a full or failing disk does: with FAULT_ERRNO, for files whose path has FAULT_PATH in it.
   LD_PRELOAD this; Python and sqlite then meet the error where the system would raise it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int faulty(int handle) {
    const char *number = getenv("FAULT_ERRNO"), *part = getenv("FAULT_PATH");
    char link[64], path[4096];
    ssize_t length;
    if (!number || !part) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, part)) return 0;
    errno = atoi(number);
    return 1;
}

#define FORWARD(result, name, parameters, arguments)                         \
    result name parameters {                                                 \
        static result (*real) parameters;                                    \
        if (!real) real = (result (*) parameters)dlsym(RTLD_NEXT, #name);    \
        return faulty(handle) ? (result)-1 : real arguments;                 \
    }

FORWARD(ssize_t, write, (int handle, const void *data, size_t count), (handle, data, count))
FORWARD(ssize_t, pwrite, (int handle, const void *data, size_t count, off_t at), (handle, data, count, at))
FORWARD(ssize_t, pwrite64, (int handle, const void *data, size_t count, off64_t at), (handle, data, count, at))
FORWARD(ssize_t, writev, (int handle, const struct iovec *parts, int count), (handle, parts, count))
FORWARD(int, fsync, (int handle), (handle))
FORWARD(int, fdatasync, (int handle), (handle))
