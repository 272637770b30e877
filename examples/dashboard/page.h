/* The page, and the policy that lets a browser run nothing but what stands in it. */
#ifndef DASHBOARD_PAGE_H
#define DASHBOARD_PAGE_H

#include <stdbool.h>
#include <stddef.h>

struct page {
    char *text;
    size_t size;
    char policy[512]; /* Content-Security-Policy */
};

/* Reads it.  Tells on standard error what is wrong. */
bool page_read(const char *path, struct page *ret_page);

void page_free(struct page *page);

#endif
