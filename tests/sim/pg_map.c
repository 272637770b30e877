/* The relays that are alive, who ticks, and the change of the lane map: relay_check_in(),
 * lane_set() and lane_map_commit() of sql/migrations/0005_lanes.sql. */
#include "sim/sim.h"

#include <string.h>

bool pg_map_changes(const struct sim *sim)
{
    return sim->pg.change.open && sim->pg.change.expires_at > pg_clock(sim);
}

bool pg_release_pending(const struct sim *sim, const struct pg_lane *lane)
{
    for (int i = 0; i < sim->pg.row_count; i++) {
        const struct pg_row *row = &sim->pg.rows[i];

        if (row->release != 0 && pg_is_parked(row) && pg_lane_has(lane, row))
            return true;
    }
    return false;
}

static bool is_held(const struct sim *sim, const struct pg_lane *lane)
{
    return lane->holder >= 0 && lane->expires_at > pg_clock(sim);
}

/* Has it come to the tick at which all lanes end? */
static bool is_at_stop(const struct sim *sim, const struct pg_lane *lane)
{
    const struct pg_change *change = &sim->pg.change;

    return change->open && lane->position.done && lane->position.to.id == change->stop.id &&
           memcmp(lane->position.to.nonce, change->stop.nonce, sizeof(change->stop.nonce)) == 0;
}

/* Its last owner gave it back with nothing open, and nobody before can publish. */
static bool is_given_back(const struct sim *sim, const struct pg_lane *lane)
{
    if (sim->bug == BUG_MAP_OVER_EXPIRED)
        return !is_held(sim, lane);
    return lane->holder < 0 && lane->ended_epoch == lane->lease_epoch;
}

static bool has_ended(const struct sim *sim, const struct pg_lane *lane)
{
    if (lane->halted || (!is_given_back(sim, lane) && sim->bug != BUG_MAP_OVER_OWNERS))
        return false;
    if (!is_at_stop(sim, lane) && sim->bug != BUG_MAP_TOO_SOON)
        return false;
    return !pg_release_pending(sim, lane);
}

static void begin_lanes(struct sim *sim)
{
    struct pg *pg = &sim->pg;
    const struct pg_change *change = &pg->change;
    int64_t published = 0;

    for (int i = 0; i < pg->lane_count; i++)
        published += pg->lanes[i].published;
    pg->map++;
    pg->lane_count = change->lanes;
    for (int i = 0; i < change->lanes; i++) {
        pg->lanes[i] = (struct pg_lane){
            .low = i * PG_BUCKETS / change->lanes, .high = (i + 1) * PG_BUCKETS / change->lanes - 1,
            .holder = -1, .pinned = -1, .published = i == 0 ? published : 0,
            .position = {.from = change->stop, .to = change->stop, .done = true}};
        if (sim->bug == BUG_BUCKET_TWICE && i + 1 < change->lanes)
            pg->lanes[i].high++;
        if (sim->bug == BUG_BUCKET_NOWHERE && i > 0)
            pg->lanes[i].low++;
    }
    for (int i = 0; i < pg->row_count; i++) {
        if (pg_is_parked(&pg->rows[i]) && sim->bug != BUG_PARKED_LEFT)
            pg->rows[i].map = pg->map;
    }
}

bool pg_map_has_ended(const struct sim *sim)
{
    for (int i = 0; i < sim->pg.lane_count; i++) {
        if (!has_ended(sim, &sim->pg.lanes[i]))
            return false;
    }
    return sim->pg.change.open;
}

/* outbox.lane_map_commit() */
static void commit_map(struct sim *sim)
{
    struct pg *pg = &sim->pg;

    if (!pg_map_has_ended(sim))
        return;
    begin_lanes(sim);
    pg->change = (struct pg_change){0};
    TELL(sim, "map %d: %d lanes from tick %lld on", pg->map, pg->lane_count, (long long)pg->lanes[0].position.to.id);
    oracle_map(sim);
    relays_poke(sim);
}

void pg_lane_set(struct sim *sim, int lanes, int64_t patience)
{
    struct pg *pg = &sim->pg;

    for (int i = 0; i < pg->lane_count; i++) {
        if (pg->lanes[i].halted)
            return;
    }
    if (pg_map_changes(sim))
        return;
    pg->change = (struct pg_change){.open = true, .lanes = lanes, .stop = pg->ticks[pg->tick_count - 1].id,
                                    .expires_at = pg_clock(sim) + patience};
    TELL(sim, "the lanes end at tick %lld; then there are %d", (long long)pg->change.stop.id, lanes);
    commit_map(sim);
    pg_statement_commit(sim);
    relays_poke(sim);
    faults_watch_change(sim);
}

/* --- checking in --- */

/* Returns whether it is gone, just now. */
static bool update_member(struct sim *sim, const struct check_in *what, int64_t ttl)
{
    struct pg_member *member = &sim->pg.members[what->relay];
    bool was_there = member->expires_at != 0;

    if (what->leaving) {
        *member = (struct pg_member){0};
        return was_there;
    }
    if (what->first || member->expires_at == 0)
        member->started_at = pg_clock(sim);
    member->expires_at = pg_clock(sim) + ttl;
    member->able = what->able;
    return false;
}

static void update_ticker(struct sim *sim, const struct check_in *what, bool gone, int64_t ttl)
{
    struct pg *pg = &sim->pg;

    if (what->may_tick && !what->leaving) {
        if (pg->ticker < 0 || pg->ticker == what->relay || pg->ticker_until <= pg_clock(sim)) {
            pg->ticker = what->relay;
            pg->ticker_until = pg_clock(sim) + ttl;
        }
    } else if (pg->ticker == what->relay || gone) {
        if (pg->ticker == what->relay)
            pg->ticker = -1;
        relays_poke(sim);
    }
}

static int place_of(const struct picture *picture, int relay)
{
    for (size_t i = 0; i < picture->share.relay_count; i++) {
        if (picture->relays[i] == relay)
            return (int)i;
    }
    return SHARE_NOBODY;
}

static void draw_relays(struct sim *sim, int self, struct picture *ret)
{
    ret->self = -1;
    for (int i = 0; i < PG_RELAYS; i++) {
        if (sim->pg.members[i].expires_at <= pg_clock(sim))
            continue;
        if (i == self)
            ret->self = (int)ret->share.relay_count;
        ret->relays[ret->share.relay_count] = i;
        ret->share.able[ret->share.relay_count++] = sim->pg.members[i].able;
    }
}

/* Of those who were started after it halted the last one tries again. */
static int retries(const struct sim *sim, const struct pg_lane *lane)
{
    const struct pg_member *members = sim->pg.members;
    int last = -1;

    for (int i = 0; lane->halted && i < PG_RELAYS; i++) {
        if (members[i].expires_at > pg_clock(sim) && members[i].started_at > lane->halted_at &&
            (last < 0 || members[i].started_at > members[last].started_at))
            last = i;
    }
    return last;
}

static void draw_lane(struct sim *sim, int index, int64_t since, struct picture *ret)
{
    const struct pg_lane *lane = &sim->pg.lanes[index];
    bool held = is_held(sim, lane);
    int pinned = lane->pinned >= 0 ? lane->pinned : retries(sim, lane);

    ret->lanes[index].holder = held ? lane->holder : -1;
    ret->lanes[index].lease_left = held ? lane->expires_at - pg_clock(sim) : 0;
    ret->share.lanes[index] = (struct share_lane){
        .holder = held ? place_of(ret, lane->holder) : SHARE_NOBODY,
        .pinned = pinned >= 0 ? place_of(ret, pinned) : SHARE_NOBODY,
        .closed = (lane->halted && lane->halted_at >= since) ||
                  (is_at_stop(sim, lane) && is_given_back(sim, lane) && !pg_release_pending(sim, lane)),
    };
    ret->share.lane_count = (size_t)index + 1;
}

void pg_check_in(struct sim *sim, const struct check_in *what, int64_t ttl, struct picture *ret)
{
    struct pg *pg = &sim->pg;
    bool renewed[PG_LANES] = {0};

    for (int i = 0; i < what->count; i++) {
        const struct owner owner = {what->map, what->lanes[i], what->epochs[i]};

        renewed[what->lanes[i]] = pg_lane_renew(sim, &owner, ttl);
    }
    update_ticker(sim, what, update_member(sim, what, ttl), ttl);
    if (pg->change.open && pg->change.expires_at <= pg_clock(sim)) {
        TELL(sim, "the change of the map is given up");
        pg->change = (struct pg_change){0};
        for (int i = 0; i < sim->relay_count; i++)
            relay_tick_notify(sim, &sim->relays[i]);
    }
    commit_map(sim);
    pg_statement_commit(sim);
    ret->map = pg->map;
    ret->ticker = pg->ticker;
    ret->ticking = pg->ticker == what->relay && pg->ticker_until > pg_clock(sim);
    ret->stop = pg->change.stop;
    ret->newest_tick = pg->ticks[pg->tick_count - 1].id.id;
    draw_relays(sim, what->relay, ret);
    for (int i = 0; i < pg->lane_count; i++) {
        draw_lane(sim, i, what->leaving ? INT64_MAX : pg->members[what->relay].started_at, ret);
        ret->lanes[i].renewed = renewed[i] && what->map == pg->map;
    }
}
