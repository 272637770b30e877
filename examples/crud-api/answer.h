/* What is answered to a request: a representation, a problem (RFC 9457), or nothing but a status. */
#ifndef CRUD_API_ANSWER_H
#define CRUD_API_ANSWER_H

#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

struct answer {
    unsigned int status;
    char *body;         /* the answer's, or NULL */
    bool problem;       /* body is one */
    bool replayed;      /* by an Idempotency-Key that was known */
    bool last;          /* the connection is closed after it */
    int64_t version;    /* the entity tag; 0: none */
    int64_t created_id; /* whom Location names; 0: none */
    const char *allow;  /* the methods, or NULL */
};

/* Make it a problem.  detail is for who asked: no word of it is about what is inside.  errors is an array of
 * fields and what is wrong with them, which is taken, or NULL. */
void answer_problem(struct answer *answer, unsigned int status, const char *detail, json_t *errors);

/* Queues it, and frees the body. */
enum MHD_Result answer_send(struct answer *answer, struct MHD_Connection *connection);

#endif
