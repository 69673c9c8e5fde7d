/* What a disk is told, in order, by whatever programs this is preloaded into; and a death at one of these calls.
 *
 * Every call that changes or syncs a database below RECORDER_DIRECTORY is appended to RECORDER_TRACE once it has succeeded and
 * before the caller knows: what anybody was told because of it comes later. RECORDER_PLAN is a file that all processes
 * map: a count of the calls since it was set, and the one before, in the middle of or after which its process is killed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, TRUNCATE, SYNC, SYNC_DIRECTORY, UNLINK, RENAME, LINK, MAKE_DIRECTORY, REMOVE_DIRECTORY };
enum { BEFORE, HALF, AFTER };

struct record {
    uint32_t call, pid;
    uint64_t inode, offset;
    uint32_t path_length, data_length;
};

struct plan {
    int32_t armed, at, moment; /* die at the call of this number, from 1 */
    int32_t seen;              /* calls so far */
    int32_t died;              /* the process that did */
};

static struct plan *plan;
static int trace = -1;
static char directory[PATH_MAX];

/* The library's own functions: what is looked up here cannot be this file's. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *below = getenv("RECORDER_DIRECTORY"), *to = getenv("RECORDER_TRACE"), *by = getenv("RECORDER_PLAN");
    if (!below || !to || !by) return;
    snprintf(directory, sizeof directory, "%s/", below);
    trace = REAL(open)(to, O_WRONLY | O_APPEND | O_CLOEXEC);
    int file = REAL(open)(by, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    plan = mapped == MAP_FAILED ? NULL : mapped;
    close(file);
}

static int ends(const char *path, const char *ending) {
    size_t length = strlen(path), wanted = strlen(ending);
    return length >= wanted && !strcmp(path + length - wanted, ending);
}

/* Databases and their logs, and the directories that they are in; the index beside a log holds nothing of its own. */
static int concerns(const char *path, int is_directory) {
    if (trace < 0 || strncmp(path, directory, strlen(directory))) return 0;
    return is_directory || ends(path, ".db") || ends(path, "-wal") || ends(path, "-journal") || ends(path, "backup.json");
}

static int path_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

/* `name` as it stands for in the directory `at`, which need not be the current one. */
static void full(int at, const char *name, char *path) {
    char place[PATH_MAX];
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else if (at == AT_FDCWD ? getcwd(place, sizeof place) != NULL : path_of(at, place)) {
        strncat(place, "/", sizeof place - strlen(place) - 1);
        strncat(place, name, sizeof place - strlen(place) - 1);
        memcpy(path, place, PATH_MAX);
    } else {
        path[0] = 0;
    }
}

static void record(int call, uint64_t inode, uint64_t offset, const char *path, const void *data, size_t length) {
    struct record head = {call, getpid(), inode, offset, strlen(path), length};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.path_length}, {(void *)data, length}};
    int error = errno;
    /* One call, to a file that is only appended to: whole, and in one order for all processes. */
    if (writev(trace, parts, 3) != (ssize_t)(sizeof head + head.path_length + length)) abort();
    errno = error;
}

static void die(void) {
    plan->died = getpid();
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Whether the process is to die within the call that begins, and when. */
static int moment(void) {
    if (!plan || !plan->armed || __atomic_add_fetch(&plan->seen, 1, __ATOMIC_SEQ_CST) != plan->at) return -1;
    if (plan->moment == BEFORE) die();
    return plan->moment;
}

static uint64_t inode_of(int file) {
    struct stat found;
    return fstat(file, &found) ? 0 : found.st_ino;
}

static uint64_t inode_at(const char *path) {
    struct stat found;
    return lstat(path, &found) ? 0 : found.st_ino;
}

static int opens(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || (full(AT_FDCWD, path, whole), !concerns(whole, 0))) return real(path, flags, mode);
    int is_new = !inode_at(whole);
    int when = is_new || flags & O_TRUNC ? moment() : -1;
    int file = real(path, flags, mode);
    if (file >= 0 && is_new) record(CREATE, inode_of(file), 0, whole, NULL, 0);
    if (file >= 0 && !is_new && flags & O_TRUNC) record(TRUNCATE, inode_of(file), 0, whole, NULL, 0);
    if (when >= 0) die();
    return file;
}

#define OPENS(name)                                                                  \
    int name(const char *path, int flags, ...) {                                     \
        va_list rest;                                                                \
        va_start(rest, flags);                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;      \
        va_end(rest);                                                                \
        return opens(REAL(name), path, flags, mode);                                 \
    }
OPENS(open)
OPENS(open64)

#define WRITES(name, offset_type)                                                    \
    ssize_t name(int file, const void *data, size_t count, offset_type offset) {     \
        char path[PATH_MAX];                                                         \
        if (!path_of(file, path) || !concerns(path, 0)) return REAL(name)(file, data, count, offset); \
        int when = moment();                                                         \
        if (when == HALF) count = count / 2 + 1;                                     \
        ssize_t written = REAL(name)(file, data, count, offset);                     \
        if (written > 0) record(WRITE, inode_of(file), offset, path, data, written); \
        if (when >= 0) die();                                                        \
        return written;                                                              \
    }
WRITES(pwrite, off_t)
WRITES(pwrite64, off64_t)

ssize_t write(int file, const void *data, size_t count) {
    char path[PATH_MAX];
    if (trace < 0 || !path_of(file, path) || !concerns(path, 0)) return REAL(write)(file, data, count);
    off_t offset = lseek(file, 0, SEEK_CUR);
    int when = moment();
    if (when == HALF) count = count / 2 + 1;
    ssize_t written = REAL(write)(file, data, count);
    if (written > 0) record(WRITE, inode_of(file), offset, path, data, written);
    if (when >= 0) die();
    return written;
}

static int syncs(int (*real)(int), int file) {
    char path[PATH_MAX];
    struct stat found;
    if (fstat(file, &found) || !path_of(file, path)) return real(file);
    int is_directory = S_ISDIR(found.st_mode);
    if (!concerns(path, is_directory) && !(is_directory && trace >= 0 && !strncmp(path, directory, strlen(directory) - 1)))
        return real(file);
    int when = moment();
    /* What others write while it is under way may not be in it. */
    struct stat so_far = {0};
    fstat(trace, &so_far);
    int answer = real(file);
    if (!answer) record(is_directory ? SYNC_DIRECTORY : SYNC, found.st_ino, so_far.st_size, path, NULL, 0);
    if (when >= 0) die();
    return answer;
}
int fsync(int file) { return syncs(REAL(fsync), file); }
int fdatasync(int file) { return syncs(REAL(fdatasync), file); }

#define TRUNCATES(name, length_type)                                                 \
    int name(int file, length_type length) {                                         \
        char path[PATH_MAX];                                                         \
        if (!path_of(file, path) || !concerns(path, 0)) return REAL(name)(file, length); \
        int when = moment(), answer = REAL(name)(file, length);                      \
        if (!answer) record(TRUNCATE, inode_of(file), length, path, NULL, 0);        \
        if (when >= 0) die();                                                        \
        return answer;                                                               \
    }
TRUNCATES(ftruncate, off_t)
TRUNCATES(ftruncate64, off64_t)

/* A call that makes or takes a name; `to` is the other name, if it has one. */
#define NAMES(kind, is_directory, from, to, real)                                    \
    do {                                                                             \
        if (!concerns(from, is_directory) && !(to[0] && concerns(to, is_directory))) return real; \
        uint64_t inode = inode_at(from);                                             \
        int when = moment(), answer = real;                                          \
        if (!answer) record(kind, inode ? inode : inode_at(from), 0, from, to, strlen(to)); \
        if (when >= 0) die();                                                        \
        return answer;                                                               \
    } while (0)

static int is_directory(const char *path) {
    struct stat found;
    return !lstat(path, &found) && S_ISDIR(found.st_mode);
}

int unlink(const char *name) {
    char path[PATH_MAX];
    full(AT_FDCWD, name, path);
    NAMES(UNLINK, 0, path, "", REAL(unlink)(name));
}

int unlinkat(int at, const char *name, int flags) {
    char path[PATH_MAX];
    full(at, name, path);
    NAMES((flags & AT_REMOVEDIR ? REMOVE_DIRECTORY : UNLINK), flags & AT_REMOVEDIR, path, "", REAL(unlinkat)(at, name, flags));
}

int rmdir(const char *name) {
    char path[PATH_MAX];
    full(AT_FDCWD, name, path);
    NAMES(REMOVE_DIRECTORY, 1, path, "", REAL(rmdir)(name));
}

int mkdir(const char *name, mode_t mode) {
    char path[PATH_MAX];
    full(AT_FDCWD, name, path);
    NAMES(MAKE_DIRECTORY, 1, path, "", REAL(mkdir)(name, mode));
}

int rename(const char *name, const char *other) {
    char from[PATH_MAX], to[PATH_MAX];
    full(AT_FDCWD, name, from);
    full(AT_FDCWD, other, to);
    NAMES(RENAME, is_directory(from), from, to, REAL(rename)(name, other));
}

int link(const char *name, const char *other) {
    char from[PATH_MAX], to[PATH_MAX];
    full(AT_FDCWD, name, from);
    full(AT_FDCWD, other, to);
    NAMES(LINK, 0, from, to, REAL(link)(name, other));
}
