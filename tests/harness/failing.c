/* Preloaded into a bot: once armed, the n-th write, sync, rename, open or removal below a folder fails. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int left = 0, how = 0;
static char root[4096] = "";

void arm(int n, int error, const char *folder) {
    how = error;
    strncpy(root, folder, sizeof root - 1);
    left = n;
}

int armed_left(void) { return left; }

static int below(const char *path) { return left > 0 && path && strncmp(path, root, strlen(root)) == 0; }

static int below_fd(int fd) {
    char link[64], path[4096];
    if (left <= 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return below(path);
}

static int fails(int hit) {
    if (!hit || --left > 0) return 0;
    errno = how;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *b, size_t n) { return fails(below_fd(fd)) ? -1 : REAL(write)(fd, b, n); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { return fails(below_fd(fd)) ? -1 : REAL(pwrite)(fd, b, n, o); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) { return fails(below_fd(fd)) ? -1 : REAL(pwrite64)(fd, b, n, o); }
int fsync(int fd) { return fails(below_fd(fd)) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails(below_fd(fd)) ? -1 : REAL(fdatasync)(fd); }
int ftruncate(int fd, off_t n) { return fails(below_fd(fd)) ? -1 : REAL(ftruncate)(fd, n); }
int ftruncate64(int fd, off64_t n) { return fails(below_fd(fd)) ? -1 : REAL(ftruncate64)(fd, n); }
int rename(const char *a, const char *b) { return fails(below(a)) ? -1 : REAL(rename)(a, b); }
int unlink(const char *a) { return fails(below(a)) ? -1 : REAL(unlink)(a); }
int mkdir(const char *a, mode_t m) { return fails(below(a)) ? -1 : REAL(mkdir)(a, m); }
