/* An allocator that aborts when a block was written outside its bounds, for fuzz_exr.py --heap-checks.

   cc -O2 -shared -fPIC -o heap_canary.so heap_canary.c

   Every block has 64 bytes of a pattern behind it (and its size before it) that are compared when it is freed.
   Works on glibc, whose own allocator does the work below. */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void __libc_free(void *);

#define MAGIC 0x5ca1ab1e0ddba11ull
#define GUARD 64
#define PATTERN 0xd9

typedef struct {
    uint64_t before;
    void *base;
    size_t size;
    uint64_t magic;
} Head;

static void die(void)
{
    static const char text[] = "heap_canary: a block was written outside its bounds\n";
    if (write(2, text, sizeof text - 1)) {}
    abort();
}

static void *block(size_t align, size_t size)
{
    if (align < 16) align = 16;
    if (size > SIZE_MAX - align - sizeof(Head) - GUARD) { errno = ENOMEM; return NULL; }
    char *base = __libc_malloc(size + align + sizeof(Head) + GUARD);
    if (!base) return NULL;
    char *user = (char *)(((uintptr_t)base + sizeof(Head) + align - 1) & ~(uintptr_t)(align - 1));
    Head *head = (Head *)user - 1;
    *head = (Head){MAGIC, base, size, MAGIC};
    memset(user + size, PATTERN, GUARD);
    return user;
}

void *malloc(size_t size) { return block(16, size); }

void free(void *user)
{
    if (!user) return;
    Head *head = (Head *)user - 1;
    if (head->magic != MAGIC || head->before != MAGIC) die();
    const unsigned char *tail = (unsigned char *)user + head->size;
    for (int i = 0; i < GUARD; i++)
        if (tail[i] != PATTERN) die();
    head->magic = 0;
    __libc_free(head->base);
}

void *calloc(size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) { errno = ENOMEM; return NULL; }
    void *user = block(16, count * size);
    return user ? memset(user, 0, count * size) : NULL;
}

void *realloc(void *user, size_t size)
{
    if (!user) return malloc(size);
    if (!size) { free(user); return NULL; }
    size_t old = ((Head *)user - 1)->size;
    void *fresh = malloc(size);
    if (!fresh) return NULL;
    memcpy(fresh, user, old < size ? old : size);
    free(user);
    return fresh;
}

void *memalign(size_t align, size_t size) { return block(align, size); }
void *aligned_alloc(size_t align, size_t size) { return block(align, size); }
void *valloc(size_t size) { return block((size_t)sysconf(_SC_PAGESIZE), size); }
int posix_memalign(void **out, size_t align, size_t size) { return (*out = block(align, size)) ? 0 : ENOMEM; }
size_t malloc_usable_size(void *user) { return user ? ((Head *)user - 1)->size : 0; }
