#include "sink/marker.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"

#define MARKER_VERSION 1

/* The texts and numbers of a marker as they stand in the JSON. */
struct raw_marker {
    const char *system_identifier, *incarnation;
    const char *from_nonce, *to_nonce;
    json_int_t map, lane, from_tick, to_tick, seq, published, release;
    int done;
};

static void put_uuid(const uint8_t bytes[16], char ret_text[OUTBOX__UUID_TEXT])
{
    struct outbox__uuid uuid;

    memcpy(uuid.bytes, bytes, sizeof(uuid.bytes));
    outbox__uuid_format(&uuid, ret_text);
}

size_t marker_key(const struct marker *marker, char ret_key[MARKER_KEY_SIZE])
{
    char incarnation[OUTBOX__UUID_TEXT];

    put_uuid(marker->incarnation, incarnation);
    return (size_t)snprintf(ret_key, MARKER_KEY_SIZE, "%s/%d/%d", incarnation, marker->map, marker->lane);
}

bool marker_transactional_id(const struct marker *marker, const char *prefix, char *ret, size_t room)
{
    char incarnation[OUTBOX__UUID_TEXT];

    put_uuid(marker->incarnation, incarnation);
    return (size_t)snprintf(ret, room, "%s.%s.%d.%d", prefix, incarnation, marker->map, marker->lane) < room;
}

size_t marker_encode(const struct marker *marker, char ret_text[MARKER_TEXT_SIZE])
{
    const struct position *position = &marker->position;
    char incarnation[OUTBOX__UUID_TEXT], from[OUTBOX__UUID_TEXT], to[OUTBOX__UUID_TEXT];
    char release[40] = "";

    if (marker->release != 0)
        snprintf(release, sizeof(release), ",\"release\":%" PRId64, marker->release);
    put_uuid(marker->incarnation, incarnation);
    put_uuid(position->from.nonce, from);
    put_uuid(position->to.nonce, to);
    /* Nothing in it needs escaping.  The identifier is a text because it exceeds what
     * other JSON readers hold exactly. */
    return (size_t)snprintf(ret_text, MARKER_TEXT_SIZE,
                            "{\"version\":%d,\"system_identifier\":\"%" PRIu64 "\",\"incarnation\":\"%s\","
                            "\"map\":%d,\"lane\":%d,"
                            "\"from\":{\"tick\":%" PRId64 ",\"nonce\":\"%s\"},"
                            "\"to\":{\"tick\":%" PRId64 ",\"nonce\":\"%s\"},"
                            "\"seq\":%" PRId64 ",\"done\":%s,\"published\":%" PRId64 "%s}",
                            MARKER_VERSION, (uint64_t)marker->system_identifier, incarnation, marker->map,
                            marker->lane, position->from.id, from, position->to.id, to, position->seq,
                            position->done ? "true" : "false", marker->published, release);
}

static bool parse_identifier(const char *text, int64_t *ret)
{
    char *end;
    unsigned long long value;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (*end || errno)
        return false;
    *ret = (int64_t)value;
    return true;
}

static bool parse_uuid(const char *text, uint8_t ret[16])
{
    struct outbox__uuid uuid;

    if (!outbox__uuid_parse(text, &uuid))
        return false;
    memcpy(ret, uuid.bytes, sizeof(uuid.bytes));
    return true;
}

/* NULL, or the member that is wrong. */
static const char *wrong_number(const struct raw_marker *raw)
{
    if (raw->map < 0 || raw->map > INT32_MAX)
        return "map";
    if (raw->lane < 0 || raw->lane > INT32_MAX)
        return "lane";
    if (raw->from_tick < 0)
        return "from.tick";
    if (raw->to_tick < raw->from_tick)
        return "to.tick";
    if (raw->seq < 0)
        return "seq";
    if (raw->published < 0)
        return "published";
    if (raw->release < 0)
        return "release";
    return NULL;
}

static const char *fill(const struct raw_marker *raw, struct marker *marker)
{
    const char *wrong = wrong_number(raw);

    if (wrong)
        return wrong;
    if (!parse_identifier(raw->system_identifier, &marker->system_identifier))
        return "system_identifier";
    if (!parse_uuid(raw->incarnation, marker->incarnation))
        return "incarnation";
    if (!parse_uuid(raw->from_nonce, marker->position.from.nonce))
        return "from.nonce";
    if (!parse_uuid(raw->to_nonce, marker->position.to.nonce))
        return "to.nonce";
    marker->map = (int)raw->map;
    marker->lane = (int)raw->lane;
    marker->position.from.id = raw->from_tick;
    marker->position.to.id = raw->to_tick;
    marker->position.seq = raw->seq;
    marker->position.done = raw->done != 0;
    marker->published = raw->published;
    marker->release = raw->release;
    return NULL;
}

/* The version comes first: what another one looks like is not known. */
static int check_version(const json_t *root, outbox_error **reterr)
{
    const json_t *version = json_object_get(root, "version");

    if (!json_is_integer(version))
        return outbox__fail(reterr, OUTBOX_EINVAL, "version", "the marker has no version");
    if (json_integer_value(version) != MARKER_VERSION)
        return outbox__fail(reterr, OUTBOX_EINVAL, "version",
                            "the marker has version %" JSON_INTEGER_FORMAT
                            ", this program knows %d: a newer outbox-relay wrote it; run that one",
                            json_integer_value(version), MARKER_VERSION);
    return OUTBOX_OK;
}

static int unpack(json_t *root, struct marker *ret, outbox_error **reterr)
{
    struct raw_marker raw = {.release = 0};
    struct marker marker;
    json_error_t error;
    const char *wrong;
    json_int_t version;

    memset(&marker, 0, sizeof(marker));
    if (json_unpack_ex(root, &error, JSON_STRICT,
                       "{s:I, s:s, s:s, s:I, s:I, s:{s:I, s:s}, s:{s:I, s:s}, s:I, s:b, s:I, s?I}", "version",
                       &version, "system_identifier", &raw.system_identifier, "incarnation", &raw.incarnation,
                       "map", &raw.map, "lane", &raw.lane, "from", "tick", &raw.from_tick, "nonce",
                       &raw.from_nonce, "to", "tick", &raw.to_tick, "nonce", &raw.to_nonce, "seq", &raw.seq,
                       "done", &raw.done, "published", &raw.published, "release", &raw.release) != 0)
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "the marker is malformed: %s", error.text);
    wrong = fill(&raw, &marker);
    if (wrong)
        return outbox__fail(reterr, OUTBOX_EINVAL, wrong, "the marker's %s is not valid", wrong);
    *ret = marker;
    return OUTBOX_OK;
}

int marker_decode(const char *text, size_t size, struct marker *ret, outbox_error **reterr)
{
    json_error_t error;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    int code;

    if (!root)
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "the marker is not JSON: %s", error.text);
    code = check_version(root, reterr);
    if (code == OUTBOX_OK)
        code = unpack(root, ret, reterr);
    json_decref(root);
    return code;
}
