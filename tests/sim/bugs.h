/* Mistakes that can be planted, in the relay's driver or in a server's model: for each the
 * simulator must find a failing seed, or it proves nothing. */
#ifndef SIM_BUGS_H
#define SIM_BUGS_H

#define BUG_MAP(X)                                                                                           \
    X(BUG_NONE, "none", "nothing is planted")                                                                \
    X(BUG_RECYCLE_OFF, "recycle_off", "a tainted producer goes on")                                          \
    X(BUG_MARKER_BEFORE_FENCE, "marker_before_fence", "the marker is not read again after fencing")          \
    X(BUG_HIDDEN_UNSEEN, "hidden_unseen", "what an open transaction of a former map hides is nobody's business") \
    X(BUG_NO_SELF_XID, "no_self_xid", "late(a) is xip alone: ticks without self_xid")                        \
    X(BUG_LOCK_WITH_SNAPSHOT, "lock_with_snapshot", "a tick takes lock and snapshot in one statement")       \
    X(BUG_ACK_BEFORE_COMMIT, "ack_before_commit", "a commit counts when it is asked for")                    \
    X(BUG_NO_ACK_CONDITION, "no_ack_condition", "an acknowledgement is accepted from any epoch")             \
    X(BUG_NO_TOKEN, "no_token", "a delivery's result is accepted without its token")                         \
    X(BUG_NO_FROM_TICK, "no_from_tick", "a marker without from_tick: the successor guesses")                 \
    X(BUG_NO_TO_TICK, "no_to_tick", "a marker without to_tick: the successor takes the newest")              \
    X(BUG_NOT_DURABLE, "not_durable", "a tick counts before its commit is flushed")                          \
    X(BUG_SKIPPED_DELIVERIES, "skipped_deliveries", "an acknowledgement knows the newest batch only")        \
    X(BUG_DOUBLED_DELIVERIES, "doubled_deliveries", "an acknowledgement begins its batch anew")              \
    X(BUG_MISSING_IS_NEW, "missing_is_new", "no marker means from the beginning")                            \
    X(BUG_NO_NONCE, "no_nonce", "ticks are compared without their nonces")                                   \
    X(BUG_RESEND_UNKNOWN, "resend_unknown", "what a vanished sender left is sent again under any policy")    \
    X(BUG_CONFIRM_EARLY, "confirm_early", "at least once, a page counts when it is sent")                      \
    X(BUG_LATE_CLAIM, "late_claim", "the time in which a claimed delivery may be sent runs from the answer")  \
    X(BUG_MARKER_TOO_SOON, "marker_too_soon", "a marker that is not visible yet is taken for lost")          \
    X(BUG_BELL_WITHOUT_LOOK, "bell_without_look", "the ticker sleeps without a look with the bell held") \
    X(BUG_RELEASE_UNMARKED, "release_unmarked", "a marker does not name the release that it is committed with") \
    X(BUG_RELEASE_AHEAD, "release_ahead", "what is parked goes on before the lane has come to it")           \
    X(BUG_PARKED_STAYS, "parked_stays", "a batch that is read again leaves what is parked in its old place")  \
    X(BUG_FOLLOWER_NOT_DURABLE, "follower_not_durable", "who publishes another's tick makes no commit of its own") \
    X(BUG_DROP_BY_TO_TICK, "drop_by_to_tick", "a partition is dropped once the lanes' to_tick lies beyond it")  \
    X(BUG_MAP_TOO_SOON, "map_too_soon", "the next map begins before all lanes have come to one done tick")    \
    X(BUG_MAP_OVER_OWNERS, "map_over_owners", "the next map begins while a lane of this one has an owner")    \
    X(BUG_MAP_OVER_EXPIRED, "map_over_expired", "a lease that expired counts as given back")                  \
    X(BUG_UNFENCED_AT_THE_END, "unfenced_at_the_end", "who takes a lane over to end it does not fence")       \
    X(BUG_BUCKET_TWICE, "bucket_twice", "a bucket is in two lanes of the next map")                           \
    X(BUG_BUCKET_NOWHERE, "bucket_nowhere", "a bucket is in no lane of the next map")                         \
    X(BUG_PARKED_LEFT, "parked_left", "what is parked stays behind in the former map")                        \
    X(BUG_LATER_MAP_UNSEEN, "later_map_unseen", "markers of a later lane map are nobody's business")          \
    X(BUG_NOT_BEHIND, "not_behind", "what comes after a parked event of its key does not wait")

enum bug {
#define BUG_ENUM(constant, name, text) constant,
    BUG_MAP(BUG_ENUM)
#undef BUG_ENUM
    BUG_COUNT
};

#endif
