#include "relay/lanes.h"

#include <stdlib.h>
#include <string.h>

#include "relay/lane_runner.h"
#include "relay/roster.h"
#include "runtime/die.h"
#include "runtime/fault.h"
#include "runtime/log.h"

/* One that failed in Kafka is believed to go on failing for so long. */
#define UNABLE_FOR SECONDS(60)

struct owned {
    struct lanes *lanes;
    struct lane_runner *runner; /* NULL: never had it */
    bool wanted;                /* by this relay's own judgement */
    enum lane_state seen;
    mono_us ended_at;           /* when it stopped or halted */
    bool asked;                 /* by the check-in that is under way */
    int64_t asked_epoch;
    char told_holder[PICTURE_NAME]; /* logged */
};

struct lanes {
    struct lanes_settings settings;
    const struct relay_config *config;
    struct roster *roster;
    struct owned list[SHARE_LANES];
    int map;              /* of the runners that go; 0: none yet */
    bool asking;          /* a check-in is under way */
    bool asking_to_leave; /* it says that we leave */
    bool answered;        /* ever */
    bool failing;         /* the last check-in did */
    bool leaving;
    bool left;
    mono_us asked_at;
    mono_us ask_at;       /* the next check-in */
    mono_us unable_until;
    mono_us ticking_until;
    struct picture picture; /* the last; all zero: none */
};

static bool ended(enum lane_state state)
{
    return state == LANE_STOPPED || state == LANE_HALTED;
}

static bool goes(const struct owned *owned)
{
    return owned->runner && owned->seen != LANE_STOPPED && owned->seen != LANE_HALTED;
}

static void ask_soon(struct lanes *lanes)
{
    lanes->ask_at = 0;
}

static void log_halt(const struct lanes *lanes, const struct owned *owned)
{
    enum lane_halt halt = lane_runner_halt(owned->runner);

    log_error("halted", LOG_NUMBER("lane", owned - lanes->list), LOG_TEXT("state", lane_halt_name(halt)),
              LOG_TEXT("reason", lane_halt_text(halt)));
}

/* After whatever may have moved it. */
static void note_state(struct lanes *lanes, struct owned *owned)
{
    enum lane_state state = lane_runner_state(owned->runner);

    if (state == owned->seen)
        return;
    if (ended(state))
        owned->ended_at = clock_now();
    if (state == LANE_HALTED)
        log_halt(lanes, owned);
    /* It may tick now, or must not any more, or the others may have the lane. */
    if (state == LANE_RUNNING || owned->seen == LANE_RUNNING || ended(state))
        ask_soon(lanes);
    owned->seen = state;
}

static void want_tick(void *context, bool forced)
{
    const struct owned *owned = context;

    owned->lanes->settings.want_tick(owned->lanes->settings.context, forced);
}

/* One statement renews all; one that is under way will do. */
static void want_renewal(void *context)
{
    struct owned *owned = context;

    if (!owned->lanes->asking || !owned->asked)
        ask_soon(owned->lanes);
}

struct lanes *lanes_start(const struct lanes_settings *settings)
{
    struct lanes *lanes = calloc(1, sizeof(*lanes));

    if (!lanes)
        return NULL;
    lanes->settings = *settings;
    lanes->config = settings->config;
    lanes->roster = roster_start(settings->settings, settings->answers);
    if (!lanes->roster) {
        free(lanes);
        return NULL;
    }
    return lanes;
}

static struct lane_runner *make_runner(struct lanes *lanes, int lane)
{
    const struct lane_runner_settings settings = {
        .settings = lanes->settings.settings,
        .config = lanes->config,
        .kafka = lanes->settings.kafka,
        .answers = lanes->settings.answers,
        .ticks = lanes->settings.ticks,
        .lane = lane,
        .want_tick = want_tick,
        .want_renewal = want_renewal,
        .context = &lanes->list[lane],
    };
    struct lane_runner *runner = lane_runner_start(&settings);

    if (!runner)
        runtime_die("out_of_memory", "lanes");
    lanes->list[lane].lanes = lanes;
    return runner;
}

/* ---- checking in ---- */

static int count_running(const struct lanes *lanes)
{
    int running = 0;

    for (int i = 0; i < SHARE_LANES; i++)
        running += lanes->list[i].runner && lanes->list[i].seen == LANE_RUNNING;
    return running;
}

static void ask(struct lanes *lanes)
{
    mono_us now = clock_now();
    struct check_in what = {
        .first = !lanes->answered,
        .leaving = lanes->leaving,
        .able = now >= lanes->unable_until,
        .may_tick = !lanes->leaving && count_running(lanes) > 0,
        .map = lanes->map,
    };

    for (int i = 0; i < SHARE_LANES; i++) {
        struct owned *owned = &lanes->list[i];

        owned->asked = owned->runner && lane_runner_holds(owned->runner);
        if (!owned->asked)
            continue;
        owned->asked_epoch = lane_runner_epoch(owned->runner);
        what.lanes[what.count] = i;
        what.epochs[what.count++] = owned->asked_epoch;
    }
    if (!roster_ask(lanes->roster, &what))
        runtime_die("out_of_memory", "lanes");
    lanes->asking = true;
    lanes->asking_to_leave = lanes->leaving;
    lanes->asked_at = now;
    lanes->ask_at = now + lanes->config->lease_renew;
}

static void tell_renewed(struct lanes *lanes, int lane, const struct picture *picture)
{
    struct owned *owned = &lanes->list[lane];
    struct relay_message message = {.kind = RELAY_LANE_EVENT, .lane = lane};

    message.event = (struct lane_event){
        .kind = LANE_EVENT_RENEW_FAILED, .now = clock_now(), .epoch = owned->asked_epoch};
    if (picture) {
        message.event.kind = LANE_EVENT_RENEWED;
        message.event.lease_until = picture->asked_at + lanes->config->lease;
        for (size_t i = 0; i < picture->share.lane_count; i++) {
            if (picture->lanes[i].number == lane)
                message.event.found = picture->lanes[i].renewed;
        }
    }
    owned->asked = false;
    lane_runner_answer(owned->runner, &message);
    note_state(lanes, owned);
}

/* ---- what follows from a picture ---- */

static void log_holder(struct owned *owned, const struct picture_lane *lane, bool ours)
{
    const char *holder = ours ? "" : lane->holder;

    if (strcmp(owned->told_holder, holder) == 0)
        return;
    memcpy(owned->told_holder, holder, strlen(holder) + 1);
    if (holder[0])
        log_debug("lease_taken", LOG_NUMBER("lane", lane->number), LOG_TEXT("holder", holder));
}

static void begin_or_end(struct lanes *lanes, const struct picture_lane *lane, int holder)
{
    struct owned *owned = &lanes->list[lane->number];
    bool to_be_had = lane->holder[0] == '\0' || holder == lanes->picture.self;

    if (!owned->wanted && goes(owned)) {
        lane_runner_tell(owned->runner, LANE_EVENT_STOP, NULL);
    } else if (owned->wanted && !goes(owned) && to_be_had && lanes->asked_at > owned->ended_at) {
        if (!owned->runner)
            owned->runner = make_runner(lanes, lane->number);
        lane_runner_begin(owned->runner, lanes->map);
    }
    if (!owned->runner)
        return;
    lane_runner_drain(owned->runner, &lanes->picture.stop);
    note_state(lanes, owned);
}

/* The lanes of another map are others: those of the former one must have ended. */
static bool settle_map(struct lanes *lanes)
{
    bool going = false;

    if (lanes->map == lanes->picture.map)
        return true;
    for (int i = 0; i < SHARE_LANES; i++) {
        struct owned *owned = &lanes->list[i];

        owned->wanted = false;
        if (!goes(owned))
            continue;
        lane_runner_tell(owned->runner, LANE_EVENT_STOP, NULL);
        note_state(lanes, owned);
        going = going || goes(owned);
    }
    if (going)
        return false;
    if (lanes->map != 0)
        FAULT("map_begins");
    if (lanes->map != 0)
        log_info("lane_map", LOG_NUMBER("map", lanes->picture.map),
                 LOG_NUMBER("lanes", (int64_t)lanes->picture.share.lane_count));
    lanes->map = lanes->picture.map;
    return true;
}

/* A lease of a relay that is gone ends before the next look would be due. */
static void look_at_ends(struct lanes *lanes, const struct picture_lane *lane, int holder)
{
    mono_us end = lanes->picture.asked_at + lane->lease_left + MILLISECONDS(20);

    if (lane->holder[0] && holder == SHARE_NOBODY && end < lanes->ask_at)
        lanes->ask_at = end;
}

static void apply(struct lanes *lanes)
{
    const struct picture *picture = &lanes->picture;
    int owner[SHARE_LANES];

    if (lanes->leaving || !settle_map(lanes))
        return;
    if (picture->stop.id != 0)
        FAULT("map_ends");
    share_lanes(&picture->share, owner);
    for (size_t i = 0; i < picture->share.lane_count; i++) {
        const struct picture_lane *lane = &picture->lanes[i];
        int holder = picture->share.lanes[i].holder;

        lanes->list[lane->number].wanted = picture->self >= 0 && owner[i] == picture->self;
        log_holder(&lanes->list[lane->number], lane, holder == picture->self && picture->self >= 0);
        begin_or_end(lanes, lane, holder);
        look_at_ends(lanes, lane, holder);
    }
}

static void on_picture(struct lanes *lanes, struct picture *picture)
{
    bool may_have_left = lanes->asking_to_leave;

    lanes->asking = false;
    lanes->failing = !picture;
    lanes->answered = lanes->answered || picture;
    lanes->left = lanes->left || (may_have_left && picture);
    if (picture) {
        lanes->picture = *picture;
        lanes->ticking_until = picture->ticking ? picture->asked_at + lanes->config->lease : 0;
    }
    for (int i = 0; i < SHARE_LANES; i++) {
        if (lanes->list[i].asked)
            tell_renewed(lanes, i, picture);
    }
    if (picture)
        apply(lanes);
    free(picture);
}

/* ---- what happens ---- */

static void note_kafka(struct lanes *lanes, const struct lane_event *event)
{
    mono_us since = atomic_load(&lanes->settings.vitals->kafka_failing_since);

    if (event->kind == LANE_EVENT_KAFKA_FAILED && since != 0 && event->now - since > lanes->config->lease)
        lanes->unable_until = event->now + UNABLE_FOR;
    else if (event->kind == LANE_EVENT_COMMITTED || event->kind == LANE_EVENT_PRODUCER_OPEN)
        lanes->unable_until = 0;
}

static void on_tick(struct lanes *lanes, const struct tick_id *tick)
{
    for (int i = 0; i < SHARE_LANES; i++) {
        struct owned *owned = &lanes->list[i];

        if (!goes(owned))
            continue;
        lane_runner_tell(owned->runner, LANE_EVENT_TICK, tick);
        note_state(lanes, owned);
    }
}

void lanes_answer(struct lanes *lanes, struct relay_message *message)
{
    switch (message->kind) {
    case RELAY_PICTURE:
        on_picture(lanes, message->picture);
        return;
    case RELAY_POKE:
        ask_soon(lanes);
        return;
    default:
        break;
    }
    if (message->event.kind == LANE_EVENT_TICK) {
        on_tick(lanes, &message->event.tick);
        return;
    }
    note_kafka(lanes, &message->event);
    lane_runner_answer(lanes->list[message->lane].runner, message);
    note_state(lanes, &lanes->list[message->lane]);
}

void lanes_reload(struct lanes *lanes, const struct relay_config *config)
{
    lanes->config = config;
    for (int i = 0; i < SHARE_LANES; i++) {
        if (lanes->list[i].runner)
            lane_runner_reload(lanes->list[i].runner, config);
    }
}

static bool any_goes(const struct lanes *lanes)
{
    for (int i = 0; i < SHARE_LANES; i++) {
        if (goes(&lanes->list[i]))
            return true;
    }
    return false;
}

/* Until it has been said that we leave, and then for what is still open. */
static bool has_to_ask(const struct lanes *lanes)
{
    return !lanes->asking && (!lanes->left || any_goes(lanes));
}

mono_us lanes_timer(const struct lanes *lanes)
{
    mono_us timer = has_to_ask(lanes) ? lanes->ask_at : INT64_MAX;

    if (lanes->ticking_until != 0 && lanes->ticking_until > clock_now() && lanes->ticking_until < timer)
        timer = lanes->ticking_until;
    for (int i = 0; i < SHARE_LANES; i++) {
        const struct owned *owned = &lanes->list[i];
        mono_us at = owned->runner ? lane_runner_timer(owned->runner) : INT64_MAX;

        if (at < timer)
            timer = at;
    }
    return timer;
}

void lanes_tend(struct lanes *lanes)
{
    for (int i = 0; i < SHARE_LANES; i++) {
        struct owned *owned = &lanes->list[i];

        if (!owned->runner || clock_now() < lane_runner_timer(owned->runner))
            continue;
        lane_runner_tell(owned->runner, LANE_EVENT_TIMER, NULL);
        note_state(lanes, owned);
    }
    if (has_to_ask(lanes) && clock_now() >= lanes->ask_at)
        ask(lanes);
}

/* ---- how things stand ---- */

/* What needs more attention comes later. */
static int attention(enum lane_state state)
{
    if (state == LANE_HALTED)
        return 3;
    return state == LANE_RUNNING ? 1 : state == LANE_STOPPED ? 0 : 2;
}

void lanes_look(const struct lanes *lanes, struct lanes_view *ret)
{
    const struct picture *picture = &lanes->picture;
    mono_us now = clock_now();
    int going = 0;
    int halted = 0;

    *ret = (struct lanes_view){.state = LANE_STOPPED, .total = (int)picture->share.lane_count};
    for (int i = 0; i < SHARE_LANES; i++) {
        const struct owned *owned = &lanes->list[i];

        ret->wanted += owned->wanted;
        if (!owned->runner)
            continue;
        going += goes(owned);
        halted += owned->seen == LANE_HALTED;
        ret->running += owned->seen == LANE_RUNNING;
        if (attention(owned->seen) <= attention(ret->state))
            continue;
        ret->state = owned->seen;
        ret->lane = i;
        ret->epoch = lane_runner_epoch(owned->runner);
        ret->halt = lane_runner_halt(owned->runner);
    }
    ret->standing_by = lanes->answered && !lanes->failing && going == 0 && halted == 0;
    ret->halted = halted > 0 && going == 0;
    if (ret->state == LANE_STOPPED && !lanes->leaving)
        ret->state = LANE_WAITING;
    ret->ticking = ret->running > 0 && !lanes->leaving && lanes->ticking_until > now;
    ret->following = ret->running > 0 && !lanes->leaving && !ret->ticking && picture->ticker[0] && !picture->ticking;
    ret->relays = (int)picture->share.relay_count;
    ret->newest_tick = picture->newest_tick;
}

/* ---- the end ---- */

void lanes_leave(struct lanes *lanes)
{
    lanes->leaving = true;
    ask_soon(lanes);
    for (int i = 0; i < SHARE_LANES; i++) {
        struct owned *owned = &lanes->list[i];

        owned->wanted = false;
        if (!goes(owned))
            continue;
        lane_runner_tell(owned->runner, LANE_EVENT_STOP, NULL);
        note_state(lanes, owned);
    }
}

bool lanes_left(const struct lanes *lanes)
{
    if (any_goes(lanes))
        return false;
    return lanes->left || lanes->failing || (!lanes->answered && !lanes->asking);
}

bool lanes_end(struct lanes *lanes, mono_us deadline)
{
    bool good = roster_stop(lanes->roster, deadline);

    for (int i = 0; good && i < SHARE_LANES; i++) {
        if (lanes->list[i].runner)
            good = lane_runner_end(lanes->list[i].runner, deadline);
    }
    if (!good)
        return false;
    free(lanes);
    return true;
}
