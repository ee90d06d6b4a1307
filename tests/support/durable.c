/* Keeps what fsync and fdatasync made durable, and nothing else: what a power cut would leave.

   Preloaded into a process (JITGATE_SHADOW and JITGATE_SHADOWED name two folders), it copies each
   file below JITGATE_SHADOWED that is synced into JITGATE_SHADOW, and of each folder that is synced
   the names. A file is called by its inode and the time it was made, for inodes are used again. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity.h"

static int copy(int from, FILE *to) {
    char data[65536];
    ssize_t length;
    for (off_t at = 0; (length = pread(from, data, sizeof data, at)) > 0; at += length)
        if (fwrite(data, 1, (size_t)length, to) != (size_t)length) return -1;
    return (int)length;
}

static int list(const char *path, FILE *to) {
    DIR *folder = opendir(path);
    struct dirent *each;
    struct statx found;
    char key[80];
    if (!folder) return -1;
    while ((each = readdir(folder))) {
        if (!strcmp(each->d_name, ".") || !strcmp(each->d_name, "..")) continue;
        if (identify(dirfd(folder), each->d_name, &found, key) == 0)
            fprintf(to, "%o %s %s\n", found.stx_mode, key, each->d_name);
    }
    return closedir(folder);
}

/* What the file or folder at a descriptor is called; 0 if that could be told. */
int key_of(int descriptor, char *key) {
    struct statx found;
    return identify(descriptor, "", &found, key);
}

/* Keep the file or folder at a descriptor as it stands; 0 if that succeeded. */
int keep(int descriptor, const char *shadow) {
    char link[64], own[64], prepared[PATH_MAX + 64], path[PATH_MAX], key[80];
    struct statx found;
    int from = -1, failed;
    FILE *to;
    if (identify(descriptor, "", &found, key) != 0) return -1;
    sprintf(link, "/proc/self/fd/%d", descriptor);
    snprintf(path, sizeof path, "%s/%s", shadow, key);
    sprintf(own, ".%d.%d.new", getpid(), gettid());
    snprintf(prepared, sizeof prepared, "%s%s", path, own);
    if (!(to = fopen(prepared, "w"))) return -1;
    if (S_ISDIR(found.stx_mode)) {
        failed = list(link, to);
    } else {
        from = open(link, O_RDONLY | O_CLOEXEC); /* it may have been opened for writing alone */
        failed = from < 0 || copy(from, to) != 0;
        if (from >= 0) close(from);
    }
    failed |= fclose(to);
    return failed ? -1 : rename(prepared, path);
}

static int synced(const char *name, int descriptor) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *shadow = getenv("JITGATE_SHADOW"), *shadowed = getenv("JITGATE_SHADOWED");
    char link[64], path[PATH_MAX];
    ssize_t length;
    int done = real(descriptor);
    if (done != 0 || !shadow || !shadowed) return done;
    sprintf(link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    if (strncmp(path, shadowed, strlen(shadowed)) == 0 && keep(descriptor, shadow) != 0) {
        errno = EIO; /* a test that cannot tell what was durable must not pass */
        return -1;
    }
    return done;
}

int fsync(int descriptor) { return synced("fsync", descriptor); }
int fdatasync(int descriptor) { return synced("fdatasync", descriptor); }
