#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void outbox__base64_encode(const void *data, size_t size, char *ret_text)
{
    const uint8_t *in = data;

    while (size >= 3) {
        *ret_text++ = alphabet[in[0] >> 2];
        *ret_text++ = alphabet[(in[0] & 3) << 4 | in[1] >> 4];
        *ret_text++ = alphabet[(in[1] & 15) << 2 | in[2] >> 6];
        *ret_text++ = alphabet[in[2] & 63];
        in += 3;
        size -= 3;
    }
    if (size > 0) {
        uint8_t second = size > 1 ? in[1] : 0;

        *ret_text++ = alphabet[in[0] >> 2];
        *ret_text++ = alphabet[(in[0] & 3) << 4 | second >> 4];
        *ret_text++ = size > 1 ? alphabet[(second & 15) << 2] : '=';
        *ret_text++ = '=';
    }
    *ret_text = '\0';
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

ssize_t outbox__base64_decode(const char *text, size_t size, void *ret, size_t room)
{
    uint8_t *out = ret;
    uint32_t bits = 0;
    int have = 0;
    size_t made = 0;

    if (size % 4 == 0 && size > 0 && text[size - 1] == '=')
        size -= text[size - 2] == '=' ? 2 : 1;
    if (size % 4 == 1)
        return -1;
    for (size_t i = 0; i < size; i++) {
        int value = value_of(text[i]);

        if (value < 0)
            return -1;
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            if (made == room)
                return -1;
            out[made++] = (uint8_t)(bits >> have);
        }
    }
    /* Bits that no byte holds must be zero, or two texts would mean the same. */
    if ((bits & ((1u << have) - 1)) != 0)
        return -1;
    return (ssize_t)made;
}
