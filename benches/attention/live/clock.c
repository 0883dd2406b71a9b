/* Preloaded into gridd: its clocks run as a file says, and what it waits for by a clock follows them.
 *
 * GRID_TOLD_CLOCK names the file, which `told_clock.rs` writes: an index (u32), and at 8 + 32 * index the
 * told time and the time since the machine's boot when it was told, the rate, and for how long that holds
 * (four i64, in ns). Told time is that of the wall clock; the other clocks tell the same. Without a newer
 * slot the clocks stop: a machine that is busy shows no late timer. Not known here: who uses it for what.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
/* The longest wait without a look at the clock: the rate may change. */
#define STEP_MAX (SECOND / 200)
#define STEP_MIN 20000LL

struct slot { int64_t told, real, rate, holds; };

static volatile unsigned char *page;
static long (*real_syscall)(long, ...);

__attribute__((constructor)) static void begin(void) {
    real_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    const char *name = getenv("GRID_TOLD_CLOCK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (at != MAP_FAILED) page = at;
}

static int64_t real_now(clockid_t clock) {
    struct timespec now = {0, 0};
    syscall(SYS_clock_gettime, clock, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

static int64_t told_now(int64_t *rate) {
    uint32_t index;
    struct slot slot;
    do {
        index = __atomic_load_n((volatile uint32_t *)page, __ATOMIC_ACQUIRE);
        slot = *(volatile struct slot *)(page + 8 + 32 * (index & 1));
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (index != __atomic_load_n((volatile uint32_t *)page, __ATOMIC_ACQUIRE));
    int64_t since = real_now(CLOCK_BOOTTIME) - slot.real;
    if (since < 0) since = 0;
    if (since > slot.holds) since = slot.holds;
    if (rate) *rate = slot.rate;
    return slot.told + since * slot.rate;
}

/* For how long to wait in truth, when `left` is left by the told clock. */
static struct timespec step(int64_t left, int64_t rate) {
    int64_t wait = rate > 0 ? left / rate : STEP_MAX;
    if (wait > STEP_MAX) wait = STEP_MAX;
    if (wait < STEP_MIN) wait = STEP_MIN;
    struct timespec found = {0, wait};
    return found;
}

static int64_t nanos(const struct timespec *time) { return time->tv_sec * SECOND + time->tv_nsec; }

static int is_told(clockid_t clock) {
    return page && clock != CLOCK_PROCESS_CPUTIME_ID && clock != CLOCK_THREAD_CPUTIME_ID;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!is_told(clock)) return (int)syscall(SYS_clock_gettime, clock, now);
    int64_t told = told_now(NULL);
    now->tv_sec = told / SECOND;
    now->tv_nsec = told % SECOND;
    return 0;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left) {
    (void)clock;
    if (!page) return syscall(SYS_clock_nanosleep, clock, flags, time, left) == 0 ? 0 : errno;
    int64_t rate, until = nanos(time) + (flags & TIMER_ABSTIME ? 0 : told_now(NULL)), now;
    while ((now = told_now(&rate)) < until) {
        struct timespec wait = step(until - now, rate);
        syscall(SYS_nanosleep, &wait, NULL);
    }
    if (left) left->tv_sec = left->tv_nsec = 0;
    return 0;
}

int nanosleep(const struct timespec *time, struct timespec *left) {
    return clock_nanosleep(CLOCK_MONOTONIC, 0, time, left);
}

int ppoll(struct pollfd *files, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
    if (!page || !timeout) return (int)syscall(SYS_ppoll, files, count, timeout, mask, sizeof(long));
    int64_t rate, until = told_now(NULL) + nanos(timeout), now;
    struct timespec none = {0, 0};
    while ((now = told_now(&rate)) < until) {
        struct timespec wait = step(until - now, rate);
        int found = (int)syscall(SYS_ppoll, files, count, &wait, mask, sizeof(long));
        if (found != 0) return found;
    }
    return (int)syscall(SYS_ppoll, files, count, &none, mask, sizeof(long));
}

int poll(struct pollfd *files, nfds_t count, int timeout) {
    struct timespec time = {timeout / 1000, timeout % 1000 * 1000000L};
    return ppoll(files, count, timeout < 0 ? NULL : &time, NULL);
}

int epoll_wait(int epoll, struct epoll_event *events, int count, int timeout) {
    if (page && timeout > 0) {
        struct pollfd file = {epoll, POLLIN, 0};
        int found = poll(&file, 1, timeout);
        if (found < 0) return found;
        timeout = 0;
    }
    return (int)syscall(SYS_epoll_pwait, epoll, events, count, timeout, NULL, sizeof(long));
}

static long futex(long *of) {
    int op = (int)of[1], command = op & FUTEX_CMD_MASK;
    int is_absolute = command == FUTEX_WAIT_BITSET;
    if (!page || !of[3] || (command != FUTEX_WAIT && !is_absolute))
        return real_syscall(SYS_futex, of[0], of[1], of[2], of[3], of[4], of[5]);
    /* A relative wait does without the bits of the other; both are as one to who wakes. */
    int waits = FUTEX_WAIT | (op & FUTEX_PRIVATE_FLAG);
    int64_t until = nanos((const struct timespec *)of[3]) + (is_absolute ? 0 : told_now(NULL)), now, rate;
    while ((now = told_now(&rate)) < until) {
        struct timespec wait = step(until - now, rate);
        long done = real_syscall(SYS_futex, of[0], (long)waits, of[2], (long)&wait, 0L, 0L);
        if (done == 0 || errno != ETIMEDOUT) return done;
    }
    errno = ETIMEDOUT;
    return -1;
}

long syscall(long number, ...) {
    long of[6];
    va_list all;
    va_start(all, number);
    for (int at = 0; at < 6; at++) of[at] = va_arg(all, long);
    va_end(all);
    if (!real_syscall) real_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    if (number == SYS_futex) return futex(of);
    return real_syscall(number, of[0], of[1], of[2], of[3], of[4], of[5]);
}
