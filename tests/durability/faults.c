/* Calls that fail on files of a chosen path, for whatever program this is preloaded into.
 *
 * The plan is a file that every process maps, named by FAULTS_PLAN: which calls, on which path, how they fail, how many go
 * well before, and how many fail then. It is shared, so a test counts and changes it while the hub runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, SYNC = 4, TRUNCATE = 8 };

struct plan {
    int calls;    /* which; 0: none */
    int error;    /* errno; 0: a short write */
    int after;    /* so many go well first */
    int times;    /* so many fail then; -1: all */
    int failed;   /* so many have failed */
    char path[236]; /* how the path ends */
};

static struct plan *plan;

/* The library's own functions: what is looked up here cannot be this file's. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void find_plan(void) {
    const char *name = getenv("FAULTS_PLAN");
    int file = name ? REAL(open)(name, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    plan = mapped == MAP_FAILED ? NULL : mapped;
    close(file);
}

static int fails(int call, const char *path) {
    if (!plan || !(plan->calls & call)) return 0;
    size_t length = strlen(path), ending = strlen(plan->path);
    if (length < ending || strcmp(path + length - ending, plan->path)) return 0;
    if (__atomic_fetch_sub(&plan->after, 1, __ATOMIC_SEQ_CST) > 0) return 0;
    if (plan->times >= 0 && __atomic_fetch_sub(&plan->times, 1, __ATOMIC_SEQ_CST) <= 0) {
        __atomic_store_n(&plan->times, 0, __ATOMIC_SEQ_CST);
        return 0;
    }
    __atomic_fetch_add(&plan->failed, 1, __ATOMIC_SEQ_CST);
    errno = plan->error;
    return 1;
}

static int fails_on(int call, int file) {
    char link[64], path[4096];
    if (!plan || !(plan->calls & call)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(call, path);
}

#define OPENS(name)                                                                  \
    int name(const char *path, int flags, ...) {                                     \
        va_list rest;                                                                \
        va_start(rest, flags);                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;      \
        va_end(rest);                                                                \
        return fails(OPEN, path) ? -1 : REAL(name)(path, flags, mode);               \
    }
OPENS(open)
OPENS(open64)

#define WRITES(name, offset_type)                                                    \
    ssize_t name(int file, const void *data, size_t count, offset_type offset) {     \
        if (fails_on(WRITE, file)) {                                                 \
            if (errno) return -1;                                                    \
            count = count / 2 + 1;                                                   \
        }                                                                            \
        return REAL(name)(file, data, count, offset);                                \
    }
WRITES(pwrite, off_t)
WRITES(pwrite64, off64_t)

ssize_t write(int file, const void *data, size_t count) {
    if (fails_on(WRITE, file)) {
        if (errno) return -1;
        count = count / 2 + 1;
    }
    return REAL(write)(file, data, count);
}

#define SYNCS(name)                                                                  \
    int name(int file) { return fails_on(SYNC, file) ? -1 : REAL(name)(file); }
SYNCS(fsync)
SYNCS(fdatasync)

#define TRUNCATES(name, length_type)                                                 \
    int name(int file, length_type length) {                                         \
        return fails_on(TRUNCATE, file) ? -1 : REAL(name)(file, length);             \
    }
TRUNCATES(ftruncate, off_t)
TRUNCATES(ftruncate64, off64_t)
