#include <outbox/outbox.h>

const char *outbox_version(void)
{
    return OUTBOX_VERSION;
}
