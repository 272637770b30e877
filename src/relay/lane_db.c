#include "relay/lane_db.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/parking.h"
#include "runtime/fault.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/repeat.h"
#include "source/acknowledge.h"
#include "source/lease.h"
#include "source/reader.h"

struct lane_db {
    struct settings_view settings;
    const struct relay_config *config; /* in force for the present job */
    struct tick_memory *ticks;
    int map; /* of the present job */
    int lane;
    struct pg *pg;
    struct repeat repeat;
    struct reader *reader;
    char host[256];            /* this machine's name */
    char standing_detail[256]; /* why the database must not publish */
    struct parking parking;
};

struct lane_db *lane_db_new(struct settings *settings, struct tick_memory *ticks, int lane)
{
    struct lane_db *db = calloc(1, sizeof(*db));

    if (!db)
        return NULL;
    *db = (struct lane_db){.settings = SETTINGS_VIEW_INIT(settings), .ticks = ticks, .lane = lane};
    if (gethostname(db->host, sizeof(db->host) - 1) != 0) {
        free(db);
        return NULL;
    }
    return db;
}

void lane_db_free(struct lane_db *db)
{
    free(db);
}

void lane_db_end(void *context)
{
    struct lane_db *db = context;

    pg_close(db->pg);
    reader_free(db->reader);
    settings_close(&db->settings);
    db->pg = NULL;
    db->reader = NULL;
}

static int connect(struct lane_db *db, outbox_error **reterr)
{
    struct pg_conn_settings settings = {db->config->dsn, "outbox-relay lane", db->config->connect_timeout};

    if (pg_usable(db->pg))
        return OUTBOX_OK;
    pg_close(db->pg);
    db->pg = pg_open(&settings, reterr);
    if (!db->pg)
        return OUTBOX_ECONNECTION;
    metric_add(METRIC_DATABASE_CONNECTIONS + METRIC_PART_LANE, 1);
    return OUTBOX_OK;
}

static int renew_reader(struct lane_db *db, const struct lease_grant *grant, outbox_error **reterr)
{
    struct reader_settings settings = {grant->bucket_low, grant->bucket_high, (size_t)db->config->batch_bytes,
                                       db->ticks};

    reader_free(db->reader);
    db->reader = reader_new(&settings);
    return db->reader ? OUTBOX_OK : outbox__fail_memory(reterr);
}

static int do_acquire(struct lane_db *db, mono_us deadline, struct relay_message *answer, outbox_error **reterr)
{
    struct lease_request request = {db->map, db->lane, db->config->name, db->config->lease, db->host};
    struct lane_event *event = &answer->event;
    struct lease_grant grant;
    int status = connect(db, reterr);

    if (status == OUTBOX_OK)
        status = lease_acquire(db->pg, &request, deadline, &grant, reterr);
    if (status < 0)
        return status;
    if (!grant.granted) {
        log_debug("lease_taken", LOG_NUMBER("lane", db->lane), LOG_TEXT("holder", grant.former_holder));
        event->kind = LANE_EVENT_NOT_ACQUIRED;
        event->retry_after = grant.retry_after;
        return OUTBOX_OK;
    }
    FAULT("relay_after_lease");
    event->kind = LANE_EVENT_ACQUIRED;
    event->epoch = grant.epoch;
    event->lease_until = grant.until;
    event->position = grant.position;
    event->started = grant.started;
    event->at_least_once = grant.at_least_once;
    event->published = grant.published;
    event->standing = LANE_HALT_NONE;
    /* One that a newer schema knows and this program does not is a reason to stop, too. */
    if (grant.standing[0] != '\0' && !lane_halt_by_name(grant.standing, &event->standing))
        event->standing = LANE_HALT_NOT_ENABLED;
    memcpy(db->standing_detail, grant.standing_detail, sizeof(db->standing_detail));
    event->endpoints = grant.endpoints;
    status = parking_begin(&db->parking, db->pg, &(struct parking_owner){db->map, db->lane, grant.epoch}, deadline,
                           reterr);
    if (status < 0)
        return status;
    event->parked = db->parking.open;
    answer->identity = (struct lane_identity){.system_identifier = grant.system_identifier,
                                              .bucket_low = grant.bucket_low,
                                              .bucket_high = grant.bucket_high};
    memcpy(answer->identity.incarnation, grant.incarnation, sizeof(grant.incarnation));
    return renew_reader(db, &grant, reterr);
}

static int do_read(struct lane_db *db, const struct lane_action *action, mono_us deadline,
                   struct relay_message *answer, outbox_error **reterr)
{
    struct lane_event *event = &answer->event;
    struct page *page = NULL;
    int status;

    reader_set_page_bytes(db->reader, (size_t)db->config->batch_bytes);
    status = reader_read(db->reader, db->pg, &action->position, action->limit, deadline, &page,
                         &event->found, reterr);
    if (status < 0)
        return status;
    status = parking_filter(&db->parking, db->pg, action->position.from.id, page, deadline, reterr);
    if (status < 0) {
        page_free(page);
        return status;
    }
    FAULT("relay_after_read");
    event->kind = LANE_EVENT_PAGE;
    event->count = page_count_kept(page);
    event->parked = db->parking.open;
    if (page_count(page) > 0) {
        struct page_event last;

        page_get(page, page_count(page) - 1, &last);
        event->position.seq = last.seq;
        event->bytes = (int64_t)page_payload_bytes(page);
    }
    answer->page = page;
    return OUTBOX_OK;
}

static int do_acknowledge(struct lane_db *db, const struct lane_action *action, mono_us deadline,
                          struct relay_message *answer, outbox_error **reterr)
{
    struct acknowledgement what = {db->map, db->lane, action->epoch, action->old, action->position,
                                   action->published, action->release};
    struct acknowledged done;
    int status;

    FAULT("relay_before_acknowledge");
    if (what.release != 0)
        FAULT("relay_before_release_acknowledged");
    status = acknowledge(db->pg, &what, deadline, &done, reterr);
    if (status < 0)
        return status;
    FAULT("relay_after_acknowledge");
    if (what.release != 0)
        FAULT("relay_after_release_acknowledged");
    answer->event.kind = LANE_EVENT_ACKNOWLEDGED;
    answer->event.found = done.accepted;
    answer->event.endpoints = done.endpoints;
    answer->deliveries = done.deliveries;
    return OUTBOX_OK;
}

static int do_park(struct lane_db *db, const struct lane_job *job, mono_us deadline, struct relay_message *answer,
                   outbox_error **reterr)
{
    int status;

    FAULT("relay_before_park");
    status = parking_park(&db->parking, db->pg, job->action.position.from.id, job->faults ? job->faults : "[]",
                          deadline, reterr);
    free(job->faults);
    if (status < 0)
        return status;
    FAULT("relay_after_park");
    answer->event.kind = LANE_EVENT_PARKED;
    return OUTBOX_OK;
}

static int do_take_release(struct lane_db *db, const struct lane_action *action, mono_us deadline,
                           struct relay_message *answer, outbox_error **reterr)
{
    struct lane_event *event = &answer->event;
    PGresult *rows = NULL;
    int status = parking_take(db->pg, &db->parking.owner, action->limit, db->config->batch_bytes, deadline, &rows,
                              reterr);

    if (status < 0)
        return status;
    event->kind = LANE_EVENT_RELEASE;
    event->parked = true;
    event->count = PQntuples(rows);
    if (event->count == 0) {
        PQclear(rows);
        status = parking_survey(db->pg, &db->parking.owner, deadline, &db->parking.open, &db->parking.last, reterr);
        event->parked = db->parking.open;
        return status;
    }
    event->release = parking_release_of(rows);
    status = reader_make_page(db->reader, db->pg, rows, deadline, &answer->page, reterr);
    if (status < 0)
        return status;
    event->bytes = (int64_t)page_payload_bytes(answer->page);
    FAULT("relay_after_release_taken");
    return OUTBOX_OK;
}

static int do_check_lease(struct lane_db *db, const struct lane_action *action, mono_us deadline,
                          struct relay_message *answer, outbox_error **reterr)
{
    struct lease_request request = {db->map, db->lane, db->config->name, db->config->lease, db->host};

    answer->event.kind = LANE_EVENT_LEASE_CHECKED;
    return lease_renew(db->pg, &request, action->epoch, deadline, &answer->event.found,
                       &answer->event.lease_until, reterr);
}

static int do_record(struct lane_db *db, const struct lane_action *action, mono_us deadline,
                     struct relay_message *answer, outbox_error **reterr)
{
    answer->event.kind = LANE_EVENT_RECORDED;
    return lease_record_publish(db->pg, db->map, db->lane, action->epoch, action->at_least_once, deadline,
                                &answer->event.found, reterr);
}

static int do_release(struct lane_db *db, const struct lane_action *action, mono_us deadline, outbox_error **reterr)
{
    const struct lease_end end = {db->map, db->lane, action->epoch, action->fenced};
    int status;

    FAULT("relay_before_lane_release");
    status = lease_release(db->pg, &end, deadline, reterr);
    FAULT("relay_after_lane_release");
    return status;
}

static int do_note_halt(struct lane_db *db, const struct lane_action *action, mono_us deadline,
                        struct relay_message *answer, outbox_error **reterr)
{
    const char *detail = db->standing_detail[0] ? db->standing_detail : lane_halt_text(action->halt);
    int status = lease_note_halt(db->pg, db->map, db->lane, action->epoch, lane_halt_name(action->halt), detail,
                                 deadline, reterr);

    answer->event.kind = LANE_EVENT_RELEASED;
    if (status < 0)
        return status;
    return do_release(db, action, deadline, reterr);
}

static int dispatch(struct lane_db *db, const struct lane_job *job, struct relay_message *answer,
                    outbox_error **reterr)
{
    const struct lane_action *action = &job->action;
    mono_us deadline = clock_now() + db->config->statement_timeout;

    if (action->kind != LANE_DO_ACQUIRE && !pg_usable(db->pg))
        return outbox__fail(reterr, OUTBOX_ECONNECTION, NULL, "the connection to PostgreSQL is lost");
    switch (action->kind) {
    case LANE_DO_ACQUIRE:
        return do_acquire(db, deadline, answer, reterr);
    case LANE_DO_VERIFY:
        answer->event.kind = LANE_EVENT_VERIFIED;
        return position_verify(db->pg, &action->position, deadline, &answer->event.found, reterr);
    case LANE_DO_CHECK_LEASE:
        return do_check_lease(db, action, deadline, answer, reterr);
    case LANE_DO_READ:
        return do_read(db, action, deadline, answer, reterr);
    case LANE_DO_ACKNOWLEDGE:
        return do_acknowledge(db, action, deadline, answer, reterr);
    case LANE_DO_PARK:
        return do_park(db, job, deadline, answer, reterr);
    case LANE_DO_TAKE_RELEASE:
        return do_take_release(db, action, deadline, answer, reterr);
    case LANE_DO_RECORD:
        return do_record(db, action, deadline, answer, reterr);
    case LANE_DO_NOTE_HALT:
        return do_note_halt(db, action, deadline, answer, reterr);
    default:
        answer->event.kind = LANE_EVENT_RELEASED;
        return do_release(db, action, deadline, reterr);
    }
}

void lane_db_run(void *context, const struct lane_job *job, struct relay_message *answer)
{
    struct lane_db *db = context;
    outbox_error *err = NULL;

    db->config = settings_read(&db->settings);
    db->map = job->map;
    if (dispatch(db, job, answer, &err) < 0) {
        const char *why = err ? outbox_error_message(err) : "unknown";
        bool again = repeat_seen(&db->repeat, why, clock_now());

        log_write(again ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, "database_failed", LOG_NUMBER("lane", db->lane),
                    LOG_TEXT("sqlstate", err ? outbox_error_sqlstate(err) : ""),
                    LOG_TEXT("error", why));
        metric_add(METRIC_DATABASE_FAILURES + METRIC_PART_LANE, 1);
        /* What the server did is not known: a new connection and a takeover find out. */
        pg_close(db->pg);
        db->pg = NULL;
        answer->event = (struct lane_event){.kind = LANE_EVENT_DB_FAILED};
    }
    outbox_error_free(err);
}
