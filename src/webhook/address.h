/* May a webhook be sent to this address?  Decided on the address that is about to be
 * dialled, after name resolution, so that no name, no notation and no change of DNS
 * gets around it. */
#ifndef WEBHOOK_ADDRESS_H
#define WEBHOOK_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>

#include "base/error.h"

enum address_verdict {
    ADDRESS_DENIED, /* private, local, reserved, or not IP at all */
    ADDRESS_PUBLIC,
    ADDRESS_LISTED /* the operator allows it by name */
};

#define ADDRESS_TEXT 48

struct address_rules;

/* allowed: networks such as "127.0.0.0/8,::1/128", separated by commas or spaces;
 * NULL or "": none.  NULL on failure. */
struct address_rules *address_rules_new(const char *allowed, outbox_error **reterr);
/* NULL is allowed. */
void address_rules_free(struct address_rules *rules);

/* IPv6 forms that carry an IPv4 address (mapped, NAT64, 6to4, Teredo, ISATAP) are public
 * only if that one is. */
enum address_verdict address_judge(const struct address_rules *rules, const struct sockaddr *address,
                                   socklen_t size);

/* The address without its port, "" if it is not IP. */
void address_format(const struct sockaddr *address, socklen_t size, char ret_text[ADDRESS_TEXT]);

#endif
