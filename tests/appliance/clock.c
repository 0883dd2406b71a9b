/* Preloaded into vme: its wall clock is wrong by GRID_CLOCK_OFFSET seconds. Other clocks are right. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = syscall(SYS_clock_gettime, clock, now);
    const char *offset = getenv("GRID_CLOCK_OFFSET");
    if (done == 0 && clock == CLOCK_REALTIME && offset) now->tv_sec += atol(offset);
    return done;
}
