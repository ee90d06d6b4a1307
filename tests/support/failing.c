/* Fails as a disk does, while a file says how.

   Preloaded into a process. JITGATE_FAULT names the file, whose one word is the fault;
   JITGATE_FAULTY the folder that it is met in; JITGATE_JOURNAL a file that is told of each write and
   each sync of a file in there: what, whether it failed, and of which file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity.h"

static int here(const char *path) {
    const char *faulty = getenv("JITGATE_FAULTY");
    return faulty && strncmp(path, faulty, strlen(faulty)) == 0;
}

static int meets(const char *fault) {
    char said[32] = "";
    FILE *file = fopen(getenv("JITGATE_FAULT"), "r");
    if (!file) return 0;
    if (!fgets(said, sizeof said, file)) said[0] = 0;
    fclose(file);
    return strcmp(said, fault) == 0;
}

/* Whether the file at a descriptor is one of those; its name and its key. */
static int is_here(int descriptor, char *key) {
    char link[64], path[PATH_MAX];
    struct statx found;
    ssize_t length;
    sprintf(link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    return here(path) && identify(descriptor, "", &found, key) == 0;
}

static void tell(const char *what, long done, const char *key) {
    char line[160];
    int failed = errno;
    int length = sprintf(line, "%s %s %s\n", what, done < 0 ? "failed" : "done", key);
    int journal = open(getenv("JITGATE_JOURNAL"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    if (journal >= 0 && real(journal, line, (size_t)length) == length) close(journal);
    errno = failed;
}

ssize_t write(int descriptor, const void *data, size_t length) {
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    char key[80];
    ssize_t done = -1;
    if (!is_here(descriptor, key)) return real(descriptor, data, length);
    if (meets("write-eio")) errno = EIO;
    else if (meets("read-only")) errno = EROFS;
    else if (meets("short")) done = real(descriptor, data, length / 2);
    else done = real(descriptor, data, length);
    tell("write", done == (ssize_t)length ? 0 : -1, key);
    return done;
}

static int synced(const char *name, int descriptor) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    char key[80];
    int done = -1;
    if (!is_here(descriptor, key)) return real(descriptor);
    if (meets("slow")) sleep(2);
    if (meets("sync-eio")) errno = EIO;
    else done = real(descriptor);
    tell("sync", done, key);
    return done;
}

int fsync(int descriptor) { return synced("fsync", descriptor); }
int fdatasync(int descriptor) { return synced("fdatasync", descriptor); }

int open64(const char *path, int flags, ...) {
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    va_list more;
    va_start(more, flags);
    int mode = flags & O_CREAT ? va_arg(more, int) : 0;
    va_end(more);
    if (flags & O_CREAT && here(path) && meets("read-only")) {
        errno = EROFS;
        return -1;
    }
    return real(path, flags, mode);
}
