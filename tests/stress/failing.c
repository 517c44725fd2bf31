/* A library to load before libc (LD_PRELOAD). Its calls fail on request.

   arm(kind, first, last, error, least) makes calls number `first` to `last` of a kind fail with errno `error`. The count
   starts at arm() and includes all threads. disarm() ends the failures. counted(kind) returns the count. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The order is that of KINDS in failing_calls.py. ARRAY is the data of a NumPy array. SHORT writes half of the bytes.
   FULL is a full disk: the first failing write is a short write. */
enum { ARRAY, ALLOCATION, OPEN, READ, WRITE, SHORT, FULL, SYNC, CLOSE, RENAME, CHMOD, TRUNCATE, THREAD, KINDS };

static atomic_int armed, kind_armed, error_armed;
static atomic_long first_armed, last_armed, least_bytes, counts[KINDS], failures;

static __thread int known_thread;

void arm(int kind, long first, long last, int error, long least)
{
    for (int k = 0; k < KINDS; k++)
        counts[k] = 0;
    failures = 0;
    kind_armed = kind;
    first_armed = first;
    last_armed = last;
    error_armed = error;
    least_bytes = least;
    known_thread = 1;
    armed = 1;
}

void disarm(void) { armed = 0; }
long counted(int kind) { return counts[kind]; }
long failed(void) { return failures; }

/* Count a call. If it must fail, set errno and return its number among the failing calls, from 1. Otherwise return 0. */
static long fails(int kind)
{
    if (!armed)
        return 0;
    long number = ++counts[kind];
    if (kind != kind_armed || number < first_armed || number > last_armed)
        return 0;
    errno = error_armed;
    return ++failures;
}

/* Memory. Allocations of fewer than `least` bytes never fail: see failing_calls.py. */

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

/* The first allocation in a thread that Python starts never fails. If it did, Thread.start() would wait for ever. */
static int no_memory(int kind, size_t bytes)
{
    if (!armed || bytes < (size_t)least_bytes)
        return 0;
    if (!known_thread) {
        known_thread = 1;
        return 0;
    }
    return fails(kind) > 0;
}

#define NO_MEMORY(bytes) no_memory(ALLOCATION, bytes)

void *malloc(size_t n) { return NO_MEMORY(n) ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return NO_MEMORY(n * size) ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return NO_MEMORY(n) ? NULL : __libc_realloc(p, n); }
void *memalign(size_t a, size_t n) { return NO_MEMORY(n) ? NULL : __libc_memalign(a, n); }
void *aligned_alloc(size_t a, size_t n) { return NO_MEMORY(n) ? NULL : __libc_memalign(a, n); }

int posix_memalign(void **p, size_t a, size_t n)
{
    if (NO_MEMORY(n))
        return ENOMEM;
    *p = __libc_memalign(a, n);
    return *p ? 0 : ENOMEM;
}

void *mmap(void *at, size_t n, int protection, int flags, int file, off_t offset)
{
    if ((flags & MAP_ANONYMOUS) && NO_MEMORY(n))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, n, protection, flags, file, offset);
}

void *mmap64(void *at, size_t n, int protection, int flags, int file, off_t offset)
{
    return mmap(at, n, protection, flags, file, offset);
}

/* NumPy's handler of the data of arrays, PyDataMem_Handler in its headers. */

static void *array_malloc(void *context, size_t n)
{
    (void)context;
    return no_memory(ARRAY, n) ? NULL : malloc(n);
}

static void *array_calloc(void *context, size_t n, size_t size)
{
    (void)context;
    return no_memory(ARRAY, n * size) ? NULL : calloc(n, size);
}

static void *array_realloc(void *context, void *p, size_t n)
{
    (void)context;
    return no_memory(ARRAY, n) ? NULL : realloc(p, n);
}

static void array_free(void *context, void *p, size_t n)
{
    (void)context, (void)n;
    free(p);
}

struct {
    char name[127];
    unsigned char version;
    void *context;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *, size_t);
} array_handler = {"failing", 1, NULL, array_malloc, array_calloc, array_realloc, array_free};

/* Files. Calls on the standard streams, 0 to 2, never fail. */

static int opened(int folder, const char *path, int flags, mode_t mode)
{
    return fails(OPEN) ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE(flags)                                                                                                    \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) {                                                     \
        va_list arguments;                                                                                             \
        va_start(arguments, flags);                                                                                    \
        mode = va_arg(arguments, mode_t);                                                                              \
        va_end(arguments);                                                                                             \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }

ssize_t read(int file, void *to, size_t n) { return file > 2 && fails(READ) ? -1 : syscall(SYS_read, file, to, n); }

static long written(int file, size_t *n)
{
    if (file <= 2)
        return 0;
    if (fails(WRITE))
        return -1;
    long full = fails(FULL);
    if (full > 1)
        return -1;
    if ((full || fails(SHORT)) && *n > 1)
        *n /= 2;
    return 0;
}

ssize_t write(int file, const void *from, size_t n)
{
    return written(file, &n) ? -1 : syscall(SYS_write, file, from, n);
}

ssize_t pwrite64(int file, const void *from, size_t n, off_t at)
{
    return written(file, &n) ? -1 : syscall(SYS_pwrite64, file, from, n, at);
}

int fsync(int file) { return fails(SYNC) ? -1 : (int)syscall(SYS_fsync, file); }
int rename(const char *from, const char *to) { return fails(RENAME) ? -1 : (int)syscall(SYS_rename, from, to); }
int chmod(const char *path, mode_t mode) { return fails(CHMOD) ? -1 : (int)syscall(SYS_chmod, path, mode); }
int ftruncate64(int file, off_t n) { return fails(TRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, file, n); }

int close(int file)
{
    int found = (int)syscall(SYS_close, file); /* the file is closed even if the call must fail */
    return file > 2 && found == 0 && fails(CLOSE) ? -1 : found;
}

/* Threads. */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return fails(THREAD) ? EAGAIN : real(thread, attributes, start, argument);
}
