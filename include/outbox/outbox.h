/* liboutbox: everything that a service needs. */
#ifndef OUTBOX_OUTBOX_H
#define OUTBOX_OUTBOX_H

#include <outbox/error.h>
#include <outbox/version.h>

#endif
