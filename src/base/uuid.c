#include "base/uuid.h"

#include <string.h>
#include <sys/random.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool outbox__uuid_parse(const char *text, struct outbox__uuid *ret)
{
    struct outbox__uuid uuid;
    int at = 0;

    for (int i = 0; i < 16; i++) {
        int high;
        int low;

        if (i == 4 || i == 6 || i == 8 || i == 10) {
            if (text[at++] != '-')
                return false;
        }
        high = hex_value(text[at]);
        if (high < 0)
            return false;
        low = hex_value(text[at + 1]);
        if (low < 0)
            return false;
        at += 2;
        uuid.bytes[i] = (uint8_t)(high << 4 | low);
    }
    if (text[at] != '\0')
        return false;
    *ret = uuid;
    return true;
}

void outbox__uuid_format(const struct outbox__uuid *uuid, char ret_text[OUTBOX__UUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    int at = 0;

    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            ret_text[at++] = '-';
        ret_text[at++] = digits[uuid->bytes[i] >> 4];
        ret_text[at++] = digits[uuid->bytes[i] & 15];
    }
    ret_text[at] = '\0';
}

bool outbox__uuid_draw(struct outbox__uuid *ret)
{
    if (getrandom(ret->bytes, sizeof(ret->bytes), 0) != (ssize_t)sizeof(ret->bytes))
        return false;
    ret->bytes[6] = (uint8_t)((ret->bytes[6] & 0x0f) | 0x40);
    ret->bytes[8] = (uint8_t)((ret->bytes[8] & 0x3f) | 0x80);
    return true;
}

bool outbox__uuid_equal(const struct outbox__uuid *a, const struct outbox__uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
