/* Makes malloc, calloc and realloc fail on command in the code that is linked with
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc: ours, but not that of shared libraries. */
#ifndef FAILING_ALLOC_H
#define FAILING_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* The n-th allocation from now on and all after it fail; 1 is the next. */
void fail_alloc_from(long n);
/* Only the n-th fails. */
void fail_alloc_at(long n);
void fail_alloc_never(void);
/* Has one failed since the last of the above? */
bool alloc_has_failed(void);

/* The wrapped malloc and free, to be handed to a shared library. */
void *failing_malloc(size_t size);

#endif
