/* Preloaded into a program under test: records what it does to its files, and makes calls fail.
 *
 *   GRID_SHIM_ROOT   the folder that is watched, absolute; everything else is left alone
 *   GRID_SHIM_LOG    where to record: entries as `struct entry`, then both paths, then the data
 *   GRID_SHIM_FAIL   what to make fail: CALL:PART-OF-PATH:FIRST:COUNT:HOW, HOW being `short`, `flip`
 *                    (one bit of what is written), `spoil` (a bit in every 256 bytes), `lost` (a sync: EIO, and what was written last
 *                    is gone), `wait` and milliseconds (a sync: it takes so long more) or an errno as a
 *                    number; the FIRST-th matching call (from 1) and those
 *                    after it, COUNT in all
 *
 * The file `failed` below the root is there from the moment when the first call was made to fail.
 *
 * A call that raises or lowers a file's size without passing here (fallocate by a raw system call)
 * shows in the size that every entry carries. Writes are recorded in the order in which they were
 * made; a sync is recorded when it begins and when it has ended.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, TRUNCATE, RENAME, REMOVE, MKDIR, SYNC_BEGIN, SYNC_END };

struct entry {
    uint32_t magic, op;
    uint64_t inode, offset, size_before, sync;
    uint32_t path_bytes, other_bytes, data_bytes, flags;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_bytes;
static int log_fd = -1;
static char fail_call[32], fail_part[256], fail_how[16];
static long fail_first, fail_count, fail_seen;
static uint64_t syncs;
static off_t last_offset;
static size_t last_bytes;
static ino_t last_inode;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

__attribute__((constructor)) static void begin(void) {
    const char *given = getenv("GRID_SHIM_ROOT");
    if (!given || !realpath(given, root)) return;
    root_bytes = strlen(root);
    const char *log = getenv("GRID_SHIM_LOG");
    if (log) {
        int fd = syscall(SYS_openat, AT_FDCWD, log, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
        log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 900);
        syscall(SYS_close, fd);
        if (log_fd < 0) abort();
    }
    const char *fail = getenv("GRID_SHIM_FAIL");
    if (fail && sscanf(fail, "%31[^:]:%255[^:]:%ld:%ld:%15s", fail_call, fail_part, &fail_first,
                       &fail_count, fail_how) != 5)
        abort();
}

static int is_watched(const char *path) {
    return root_bytes && strncmp(path, root, root_bytes) == 0 && path[root_bytes] == '/';
}

/* The path of a descriptor; 0 if it is not watched. */
static int path_of(int fd, char *out) {
    if (!root_bytes || fd == log_fd) return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, out, PATH_MAX - 1);
    if (bytes <= 0) return 0;
    out[bytes] = 0;
    return is_watched(out) || strcmp(out, root) == 0;
}

/* An absolute path of a name beside `at`; 0 if it is not watched. */
static int full_path(int at, const char *name, char *out) {
    if (!root_bytes) return 0;
    if (name[0] == '/') {
        snprintf(out, PATH_MAX, "%s", name);
    } else {
        char folder[PATH_MAX];
        char link[64];
        if (at == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t bytes = readlink(link, folder, sizeof folder - 1);
        if (bytes <= 0) return 0;
        folder[bytes] = 0;
        if ((size_t)snprintf(out, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX) abort();
    }
    return is_watched(out);
}

static void record(uint32_t op, const char *path, const char *other, const struct stat *found,
                   uint64_t offset, uint64_t sync, uint32_t flags, const void *data, size_t bytes) {
    if (log_fd < 0) return;
    struct entry entry = {0x54435247, op, found ? found->st_ino : 0, offset,
                          found ? (uint64_t)found->st_size : 0, sync, strlen(path), strlen(other),
                          bytes, flags};
    struct iovec parts[4] = {{&entry, sizeof entry},
                             {(void *)path, entry.path_bytes},
                             {(void *)other, entry.other_bytes},
                             {(void *)data, bytes}};
    ssize_t all = sizeof entry + entry.path_bytes + entry.other_bytes + bytes;
    if (syscall(SYS_writev, log_fd, parts, 4) != all) abort();
}

/* Whether this call is one of those that are to fail. */
static int is_to_fail(const char *call, const char *path) {
    if (!fail_call[0] || strcmp(call, fail_call) || !strstr(path, fail_part)) return 0;
    fail_seen++;
    if (fail_seen < fail_first || fail_seen >= fail_first + fail_count) return 0;
    if (fail_seen == fail_first) {
        char mark[PATH_MAX + 8];
        snprintf(mark, sizeof mark, "%s/failed", root);
        int fd = syscall(SYS_openat, AT_FDCWD, mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (fd >= 0) syscall(SYS_close, fd);
    }
    return 1;
}

static int with_errno(int error) {
    errno = error;
    return -1;
}

static int open_as(int at, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int watched = full_path(at, name, path) && (flags & (O_CREAT | O_TRUNC));
    pthread_mutex_lock(&lock);
    struct stat before = {0};
    int was_there = watched && stat(path, &before) == 0;
    int fd = watched && is_to_fail("open", path) ? with_errno(atoi(fail_how))
                                                 : syscall(SYS_openat, at, name, flags, mode);
    if (fd >= 0 && watched) {
        int error = errno;
        struct stat found;
        if (!was_there && fstat(fd, &found) == 0)
            record(OPEN, path, "", &found, 0, 0, 0, 0, 0);
        else if (was_there && (flags & O_TRUNC) && before.st_size)
            record(TRUNCATE, path, "", &before, 0, 0, 0, 0, 0);
        errno = error;
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE                                                                                       \
    mode_t mode = 0;                                                                               \
    if (flags & (O_CREAT | __O_TMPFILE)) {                                                         \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }

int open(const char *name, int flags, ...) { MODE return open_as(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE return open_as(AT_FDCWD, name, flags, mode); }
int openat(int at, const char *name, int flags, ...) { MODE return open_as(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { MODE return open_as(at, name, flags, mode); }

static ssize_t write_at(int fd, const void *data, size_t bytes, off_t offset, int is_positional) {
    char path[PATH_MAX];
    if (!path_of(fd, path))
        return is_positional ? syscall(SYS_pwrite64, fd, data, bytes, offset)
                             : syscall(SYS_write, fd, data, bytes);
    pthread_mutex_lock(&lock);
    struct stat before;
    fstat(fd, &before);
    if (!is_positional)
        offset = fcntl(fd, F_GETFL) & O_APPEND ? before.st_size : lseek(fd, 0, SEEK_CUR);
    char *flipped = 0;
    int error = 0;
    if (is_to_fail(is_positional ? "pwrite" : "write", path)) {
        if (!strcmp(fail_how, "short")) {
            bytes = bytes > 1 ? bytes / 2 : bytes;
        } else if (!strcmp(fail_how, "flip")) {
            flipped = malloc(bytes);
            memcpy(flipped, data, bytes);
            size_t used = bytes; /* mostly zeros behind it, which nobody reads */
            while (used > 1 && !flipped[used - 1]) used--;
            flipped[used / 2] ^= 1;
            data = flipped;
        } else if (!strcmp(fail_how, "spoil")) {
            flipped = malloc(bytes);
            memcpy(flipped, data, bytes);
            for (size_t at = 100; at < bytes; at += 256) flipped[at] ^= 1;
            data = flipped;
        } else {
            error = atoi(fail_how);
        }
    }
    ssize_t done = error           ? with_errno(error)
                   : is_positional ? syscall(SYS_pwrite64, fd, data, bytes, offset)
                                   : syscall(SYS_write, fd, data, bytes);
    error = errno;
    if (done > 0) last_inode = before.st_ino, last_offset = offset, last_bytes = done;
    if (done > 0) record(WRITE, path, "", &before, offset, 0, 0, data, done);
    free(flipped);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

ssize_t write(int fd, const void *data, size_t bytes) { return write_at(fd, data, bytes, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) {
    return write_at(fd, data, bytes, at, 1);
}
ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t at) {
    return write_at(fd, data, bytes, at, 1);
}

/* Nobody here writes so; should somebody begin to, the record would lack it. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    if (path_of(fd, path)) abort();
    return syscall(SYS_writev, fd, parts, count);
}

static int truncate_to(int fd, off_t size) {
    char path[PATH_MAX];
    int watched = path_of(fd, path);
    pthread_mutex_lock(&lock);
    struct stat before = {0};
    fstat(fd, &before);
    int done = watched && is_to_fail("ftruncate", path) ? with_errno(atoi(fail_how))
                                                        : syscall(SYS_ftruncate, fd, size);
    int error = errno;
    if (done == 0 && watched) record(TRUNCATE, path, "", &before, size, 0, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int ftruncate(int fd, off_t size) { return truncate_to(fd, size); }
int ftruncate64(int fd, off_t size) { return truncate_to(fd, size); }

int rename(const char *from, const char *to) {
    char path[PATH_MAX], other[PATH_MAX];
    int watched = full_path(AT_FDCWD, from, path) & full_path(AT_FDCWD, to, other);
    pthread_mutex_lock(&lock);
    int done = watched && is_to_fail("rename", path) ? with_errno(atoi(fail_how))
                                                     : REAL(rename)(from, to);
    int error = errno;
    if (done == 0 && watched) record(RENAME, path, other, 0, 0, 0, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

static int remove_at(int at, const char *name, int flags) {
    char path[PATH_MAX];
    int watched = full_path(at, name, path);
    pthread_mutex_lock(&lock);
    int done = syscall(SYS_unlinkat, at, name, flags);
    int error = errno;
    if (done == 0 && watched) record(REMOVE, path, "", 0, 0, 0, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int unlink(const char *name) { return remove_at(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return remove_at(AT_FDCWD, name, AT_REMOVEDIR); }
int unlinkat(int at, const char *name, int flags) { return remove_at(at, name, flags); }

int mkdir(const char *name, mode_t mode) {
    char path[PATH_MAX];
    int watched = full_path(AT_FDCWD, name, path);
    pthread_mutex_lock(&lock);
    int done = syscall(SYS_mkdirat, AT_FDCWD, name, mode);
    int error = errno;
    struct stat found;
    if (done == 0 && watched && stat(path, &found) == 0)
        record(MKDIR, path, "", &found, 0, 0, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

static int sync_as(int fd, const char *call, long number) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return syscall(number, fd);
    pthread_mutex_lock(&lock);
    struct stat found = {0};
    fstat(fd, &found);
    uint64_t sync = ++syncs;
    int fails = is_to_fail(call, path);
    record(SYNC_BEGIN, path, call, &found, 0, sync, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    if (fails && !strncmp(fail_how, "wait", 4)) {
        long wait = atol(fail_how + 4);
        struct timespec rest = {wait / 1000, wait % 1000 * 1000000};
        while (nanosleep(&rest, &rest) && errno == EINTR) {}
        fails = 0;
    }
    int is_lost = fails && !strcmp(fail_how, "lost");
    if (is_lost && last_inode == found.st_ino) {
        char *zeros = calloc(1, last_bytes);
        syscall(SYS_pwrite64, fd, zeros, last_bytes, last_offset);
        free(zeros);
    }
    int done = !fails ? syscall(number, fd) : with_errno(is_lost ? EIO : atoi(fail_how));
    int error = errno;
    if (done == 0) {
        pthread_mutex_lock(&lock);
        record(SYNC_END, path, call, &found, 0, sync, 0, 0, 0);
        pthread_mutex_unlock(&lock);
    }
    errno = error;
    return done;
}

int fsync(int fd) { return sync_as(fd, "fsync", SYS_fsync); }
int fdatasync(int fd) { return sync_as(fd, "fdatasync", SYS_fdatasync); }
