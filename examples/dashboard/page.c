#include "page.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_LIMIT ((size_t)256 * 1024)
#define HASH_TEXT 45 /* 32 bytes in base64, and a zero */

/* The hash of what stands between two tags: computed here, so that page and policy cannot disagree. */
static bool hash_element(const char *text, const char *open, const char *end, char ret_hash[HASH_TEXT])
{
    const char *from = strstr(text, open);
    const char *to = from ? strstr(from, end) : NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];

    if (!to)
        return false;
    from += strlen(open);
    return EVP_Digest(from, (size_t)(to - from), digest, NULL, EVP_sha256(), NULL) == 1 &&
           EVP_EncodeBlock((unsigned char *)ret_hash, digest, 32) == HASH_TEXT - 1;
}

static bool make_policy(struct page *page)
{
    char style[HASH_TEXT], script[HASH_TEXT];

    if (!hash_element(page->text, "<style>", "</style>", style) ||
        !hash_element(page->text, "<script>", "</script>", script))
        return false;
    snprintf(page->policy, sizeof(page->policy),
             "default-src 'none'; connect-src 'self'; img-src data:; style-src 'sha256-%s'; script-src 'sha256-%s';"
             " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
             style, script);
    return true;
}

bool page_read(const char *path, struct page *ret_page)
{
    FILE *file = fopen(path, "re");
    bool made = false;

    ret_page->text = calloc(1, PAGE_LIMIT + 1);
    if (!file || !ret_page->text)
        fprintf(stderr, "dashboard: %s: %s; see --page\n", path, strerror(errno));
    else if ((ret_page->size = fread(ret_page->text, 1, PAGE_LIMIT, file)) == 0 || ferror(file) ||
             !(made = make_policy(ret_page)))
        fprintf(stderr, "dashboard: %s: no page with one <style> and one <script>\n", path);
    if (file)
        fclose(file);
    if (!made)
        page_free(ret_page);
    return made;
}

void page_free(struct page *page)
{
    free(page->text);
    page->text = NULL;
}
