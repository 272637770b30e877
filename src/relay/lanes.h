/* The lanes of this relay: which it has is decided here, from what the roster tells of the
 * others (core/share.h).  Belongs to the main loop's thread. */
#ifndef RELAY_LANES_H
#define RELAY_LANES_H

#include "relay/message.h"
#include "relay/settings.h"
#include "relay/vitals.h"
#include "sink/kafka.h"

struct lanes;

struct lanes_settings {
    struct settings *settings;
    const struct relay_config *config; /* as of the start */
    const struct kafka *kafka;
    struct mailbox *answers; /* of the main loop */
    struct tick_memory *ticks; /* outlives them */
    const struct vitals *vitals;
    /* A lane has read everything it knows of. */
    void (*want_tick)(void *context, bool forced);
    void *context;
};

/* How they stand, all in all. */
struct lanes_view {
    enum lane_state state; /* of the one that needs attention most; without any: LANE_WAITING */
    int lane;              /* that one */
    int64_t epoch;
    enum lane_halt halt;
    int wanted;            /* lanes that are this relay's, by its own judgement */
    int running;
    int total;             /* of the map; 0: not known yet */
    bool standing_by;      /* all that there is to have others have */
    bool halted;           /* nothing is left but lanes that have halted */
    bool ticking;          /* it is for this relay to tick */
    bool following;        /* another ticks */
    int relays;            /* that are alive, this one included */
    int64_t newest_tick;
};

/* NULL on failure. */
struct lanes *lanes_start(const struct lanes_settings *settings);
/* RELAY_LANE_EVENT, RELAY_PICTURE, RELAY_POKE.  What the message refers to is taken over. */
void lanes_answer(struct lanes *lanes, struct relay_message *message);
/* What a reload may change of the decisions. */
void lanes_reload(struct lanes *lanes, const struct relay_config *config);
/* When lanes_tend() is due. */
mono_us lanes_timer(const struct lanes *lanes);
void lanes_tend(struct lanes *lanes);
void lanes_look(const struct lanes *lanes, struct lanes_view *ret);
/* Gives everything up, as soon as what is open has ended. */
void lanes_leave(struct lanes *lanes);
bool lanes_left(const struct lanes *lanes);
/* False if a thread did not end by the deadline; then the process must exit. */
bool lanes_end(struct lanes *lanes, mono_us deadline);

#endif
