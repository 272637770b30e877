/* What the relay's threads tell its main loop. */
#ifndef RELAY_MESSAGE_H
#define RELAY_MESSAGE_H

#include "core/lane.h"
#include "runtime/mailbox.h"
#include "source/check_in.h"
#include "source/page.h"

enum relay_message_kind {
    RELAY_LANE_EVENT, /* event; page belongs to the receiver */
    RELAY_SIGNAL,     /* number */
    RELAY_PICTURE,    /* picture, of the receiver; NULL: it could not be had */
    RELAY_POKE,       /* something has changed: ask for a picture */
    RELAY_FATAL       /* a thread cannot go on, and no repetition would help */
};

/* Which outbox a lane belongs to, known once its lease is taken. */
struct lane_identity {
    int64_t system_identifier;
    uint8_t incarnation[16];
    int bucket_low;
    int bucket_high;
};

struct relay_message {
    struct message head;
    enum relay_message_kind kind;
    int number;
    struct picture *picture;
    int lane;                      /* of the event; -1: of all lanes */
    struct lane_event event;
    struct page *page;
    struct lane_identity identity; /* with LANE_EVENT_ACQUIRED */
    int64_t deliveries;            /* with LANE_EVENT_ACKNOWLEDGED */
    char *faults;                  /* with event.at_fault: for outbox.lane_park; belongs to the receiver */
    bool keep_pages;               /* with LANE_EVENT_PRODUCER_CLOSED: librdkafka still holds them */
};

#endif
