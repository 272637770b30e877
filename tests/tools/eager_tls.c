/* Preloaded: a server whose answers in the TLS handshake are there at once, as they are when the
 * client does not get the processor for a moment.  EAGER_TLS: how often. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>

int SSL_connect(SSL *ssl)
{
    static int left = -1;
    int (*real)(SSL *) = (int (*)(SSL *))dlsym(RTLD_NEXT, "SSL_connect");
    int result = real(ssl);

    if (left < 0)
        left = (int)strtol(getenv("EAGER_TLS"), NULL, 10);
    while (result < 0 && SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ && left > 0) {
        struct pollfd fd = {SSL_get_fd(ssl), POLLIN, 0};

        left--;
        poll(&fd, 1, 5000);
        result = real(ssl);
    }
    return result;
}
