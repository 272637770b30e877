/* A user, and how it is written as JSON. */
#ifndef CRUD_API_USER_H
#define CRUD_API_USER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USER_NAME_LIMIT 200  /* characters */
#define USER_EMAIL_LIMIT 254 /* bytes; RFC 5321 leaves no more */

struct user {
    int64_t id;
    int64_t version; /* from 1; each change adds 1 */
    char name[USER_NAME_LIMIT * 4 + 1];
    char email[USER_EMAIL_LIMIT + 1];
};

enum user_reading {
    USER_GOOD,
    USER_NOT_JSON,
    USER_INVALID,
};

/* Reads name and email; id and version may be there and are not looked at.  With USER_INVALID
 * *ret_errors is an array, the caller's: a field and what is wrong with it, for each that is; or
 * NULL without memory. */
enum user_reading user_read(const char *text, size_t size, struct user *ret_user, json_t **ret_errors);

/* An object with all fields, or NULL without memory. */
json_t *user_to_json(const struct user *user);

/* One entry for *errors, which is made if it is NULL. */
void user_add_error(json_t **errors, const char *field, const char *detail);

/* Does the value of If-Match allow a change of this version?  NULL, no such header, allows any. */
bool user_matches(const struct user *user, const char *if_match);

#endif
