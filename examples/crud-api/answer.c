#include "answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void answer_problem(struct answer *answer, unsigned int status, const char *detail, json_t *errors)
{
    /* "about:blank": the title is that of the status, and there is no more to be known of it elsewhere. */
    json_t *problem = json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title",
                                MHD_get_reason_phrase_for(status), "status", (int)status, "detail", detail);

    if (errors)
        json_object_set_new(problem, "errors", errors);
    free(answer->body);
    /* Without memory for a body the status has to do. */
    answer->body = problem ? json_dumps(problem, JSON_COMPACT) : NULL;
    answer->status = status;
    answer->problem = true;
    json_decref(problem);
}

static bool add(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

static bool add_headers(const struct answer *answer, struct MHD_Response *response)
{
    char tag[32], location[32];
    bool added = true;

    snprintf(tag, sizeof(tag), "\"%" PRId64 "\"", answer->version);
    snprintf(location, sizeof(location), "/users/%" PRId64, answer->created_id);
    if (answer->body)
        added = add(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                    answer->problem ? "application/problem+json" : "application/json");
    if (answer->version > 0)
        added = added && add(response, MHD_HTTP_HEADER_ETAG, tag);
    if (answer->created_id > 0)
        added = added && add(response, MHD_HTTP_HEADER_LOCATION, location);
    if (answer->allow)
        added = added && add(response, MHD_HTTP_HEADER_ALLOW, answer->allow);
    if (answer->replayed)
        added = added && add(response, "Idempotency-Replayed", "true");
    if (answer->status == MHD_HTTP_SERVICE_UNAVAILABLE)
        added = added && add(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (answer->last)
        added = added && add(response, MHD_HTTP_HEADER_CONNECTION, "close");
    return added;
}

enum MHD_Result answer_send(struct answer *answer, struct MHD_Connection *connection)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        answer->body ? strlen(answer->body) : 0, answer->body, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result queued = MHD_NO;

    if (response && add_headers(answer, response))
        queued = MHD_queue_response(connection, answer->status, response);
    if (response)
        MHD_destroy_response(response);
    free(answer->body);
    answer->body = NULL;
    return queued;
}
