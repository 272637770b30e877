#include "runtime/sockaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_port(const char *text, in_port_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    long port;

    if (digits == 0 || digits > 5 || text[digits])
        return false;
    port = strtol(text, NULL, 10);
    *ret = htons((uint16_t)port);
    return port <= 65535;
}

bool sockaddr_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_size)
{
    struct sockaddr_in *four = (void *)ret;
    struct sockaddr_in6 *six = (void *)ret;
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN];
    bool brackets = text[0] == '[';
    size_t size;

    memset(ret, 0, sizeof(*ret));
    if (!colon || (brackets && (colon == text || colon[-1] != ']')))
        return false;
    size = (size_t)(colon - text) - (brackets ? 2 : 0);
    if (size >= sizeof(host))
        return false;
    memcpy(host, text + brackets, size);
    host[size] = '\0';
    if (brackets) {
        ret->ss_family = AF_INET6;
        *ret_size = sizeof(*six);
        return inet_pton(AF_INET6, host, &six->sin6_addr) == 1 && parse_port(colon + 1, &six->sin6_port);
    }
    ret->ss_family = AF_INET;
    *ret_size = sizeof(*four);
    return inet_pton(AF_INET, host, &four->sin_addr) == 1 && parse_port(colon + 1, &four->sin_port);
}

void sockaddr_text(const struct sockaddr_storage *address, char *ret, size_t room)
{
    const struct sockaddr_in *four = (const void *)address;
    const struct sockaddr_in6 *six = (const void *)address;
    char host[INET6_ADDRSTRLEN] = "";

    if (address->ss_family == AF_INET) {
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
        snprintf(ret, room, "%s:%u", host, ntohs(four->sin_port));
    } else {
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host));
        snprintf(ret, room, "[%s]:%u", host, ntohs(six->sin6_port));
    }
}
