#include "core/share.h"

struct shares {
    const struct share_picture *picture;
    bool counts[SHARE_RELAYS]; /* gets a part */
    int held[SHARE_RELAYS];    /* lanes that it has now */
    int room[SHARE_RELAYS];    /* lanes that it may still get */
};

static size_t count_able(struct shares *shares)
{
    const struct share_picture *picture = shares->picture;
    size_t able = 0;

    for (size_t i = 0; i < picture->relay_count; i++)
        able += picture->able[i];
    for (size_t i = 0; i < picture->relay_count; i++)
        shares->counts[i] = able == 0 || picture->able[i];
    return able == 0 ? picture->relay_count : able;
}

static bool has_part(const struct shares *shares, int relay)
{
    return relay != SHARE_NOBODY && shares->counts[relay];
}

/* What does not divide goes to those who have the most already: nothing moves for it. */
static void divide(struct shares *shares, int lanes, int relays)
{
    const struct share_picture *picture = shares->picture;

    for (size_t i = 0; i < picture->relay_count; i++) {
        int before = 0; /* who come before this one */

        if (!shares->counts[i])
            continue;
        for (size_t j = 0; j < picture->relay_count; j++) {
            int more = shares->held[j] - shares->held[i];

            before += shares->counts[j] && (more > 0 || (more == 0 && j < i));
        }
        shares->room[i] = lanes / relays + (before < lanes % relays);
    }
}

/* The one with the most room left; those whom pins have given too much have less than none. */
static int roomiest(const struct shares *shares)
{
    int best = SHARE_NOBODY;

    for (size_t i = 0; i < shares->picture->relay_count; i++) {
        if (shares->counts[i] && (best == SHARE_NOBODY || shares->room[i] > shares->room[best]))
            best = (int)i;
    }
    return best;
}

static void give(struct shares *shares, int *ret_owner, int relay)
{
    *ret_owner = relay;
    shares->room[relay]--;
}

void share_lanes(const struct share_picture *picture, int ret_owner[SHARE_LANES])
{
    struct shares shares = {.picture = picture};
    size_t relays = count_able(&shares);
    int open = 0;

    for (size_t i = 0; i < picture->lane_count; i++) {
        const struct share_lane *lane = &picture->lanes[i];

        ret_owner[i] = SHARE_NOBODY;
        open += !lane->closed;
        if (lane->holder != SHARE_NOBODY && !lane->closed)
            shares.held[lane->holder]++;
    }
    if (relays == 0)
        return;
    divide(&shares, open, (int)relays);
    for (size_t i = 0; i < picture->lane_count; i++) {
        if (!picture->lanes[i].closed && has_part(&shares, picture->lanes[i].pinned))
            give(&shares, &ret_owner[i], picture->lanes[i].pinned);
    }
    for (size_t i = 0; i < picture->lane_count; i++) {
        const struct share_lane *lane = &picture->lanes[i];

        if (!lane->closed && ret_owner[i] == SHARE_NOBODY && has_part(&shares, lane->holder) &&
            shares.room[lane->holder] > 0)
            give(&shares, &ret_owner[i], lane->holder);
    }
    for (size_t i = 0; i < picture->lane_count; i++) {
        if (!picture->lanes[i].closed && ret_owner[i] == SHARE_NOBODY)
            give(&shares, &ret_owner[i], roomiest(&shares));
    }
}
