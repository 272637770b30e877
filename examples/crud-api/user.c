#include "user.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ERRORS_LIMIT 20 /* a body may have thousands of wrong fields; nobody reads so many answers */

void user_add_error(json_t **errors, const char *field, const char *detail)
{
    if (json_array_size(*errors) == ERRORS_LIMIT)
        return;
    if (!*errors)
        *errors = json_array();
    json_array_append_new(*errors, json_pack("{s:s, s:s}", "field", field, "detail", detail));
}

static size_t characters(const char *text)
{
    size_t count = 0;

    for (; *text; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

static bool has_control(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            return true;
    }
    return false;
}

static const char *complaint_of_name(const char *name)
{
    if (name[0] == '\0' || characters(name) > USER_NAME_LIMIT)
        return "must have 1 to 200 characters";
    return has_control(name) ? "must not have control characters" : NULL;
}

/* Whether there is such a mailbox, only a mail can tell. */
static const char *complaint_of_email(const char *email)
{
    const char *at = strchr(email, '@');

    if (strlen(email) > USER_EMAIL_LIMIT)
        return "must have at most 254 bytes";
    if (!at || at == email || at[1] == '\0' || strchr(at + 1, '@') || strchr(email, ' ') || has_control(email))
        return "must be like name@example.org";
    return NULL;
}

static const struct field {
    const char *name;
    const char *(*complaint)(const char *value);
    size_t offset;
    size_t size;
} fields[] = {
    {"name", complaint_of_name, offsetof(struct user, name), sizeof(((struct user *)0)->name)},
    {"email", complaint_of_email, offsetof(struct user, email), sizeof(((struct user *)0)->email)},
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static bool read_field(const json_t *object, const struct field *field, struct user *user, json_t **errors)
{
    const json_t *value = json_object_get(object, field->name);
    const char *text = json_string_value(value);
    const char *complaint = !value ? "is missing" : !text ? "must be a string" : field->complaint(text);

    if (complaint)
        user_add_error(errors, field->name, complaint);
    else
        snprintf((char *)user + field->offset, field->size, "%s", text);
    return !complaint;
}

/* A field that nobody knows is more likely a mistake of its writer than nothing at all. */
static bool only_known(json_t *object, json_t **errors)
{
    bool good = true;
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value) {
        bool known = strcmp(key, "id") == 0 || strcmp(key, "version") == 0;

        for (size_t i = 0; i < FIELDS; i++)
            known = known || strcmp(key, fields[i].name) == 0;
        if (!known)
            user_add_error(errors, key, "is not a field of a user");
        good = good && known;
    }
    return good;
}

enum user_reading user_read(const char *text, size_t size, struct user *ret_user, json_t **ret_errors)
{
    json_t *object = text ? json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL) : NULL;
    bool good;

    if (!object)
        return USER_NOT_JSON;
    good = json_is_object(object);
    if (good) {
        for (size_t i = 0; i < FIELDS; i++)
            good = read_field(object, &fields[i], ret_user, ret_errors) && good;
        good = only_known(object, ret_errors) && good;
    } else {
        user_add_error(ret_errors, "", "must be an object");
    }
    json_decref(object);
    return good ? USER_GOOD : USER_INVALID;
}

json_t *user_to_json(const struct user *user)
{
    return json_pack("{s:I, s:I, s:s, s:s}", "id", (json_int_t)user->id, "version", (json_int_t)user->version,
                     "name", user->name, "email", user->email);
}

/* "*" or a list of entity tags in quotes.  A weak one, W/"7", never matches (RFC 9110, 13.1.1); nor does what is
 * no list: whoever makes a condition does not want a change without it. */
bool user_matches(const struct user *user, const char *if_match)
{
    char tag[24];

    if (!if_match || strcmp(if_match, "*") == 0)
        return true;
    snprintf(tag, sizeof(tag), "%" PRId64, user->version);
    while (*if_match) {
        size_t blank = strspn(if_match, " \t,");
        bool weak = strncmp(if_match + blank, "W/", 2) == 0;
        const char *begin = if_match + blank + (weak ? 2 : 0);
        const char *end = *begin == '"' ? strchr(begin + 1, '"') : NULL;

        if (!end)
            return false;
        begin++;
        if (!weak && (size_t)(end - begin) == strlen(tag) && memcmp(begin, tag, strlen(tag)) == 0)
            return true;
        if_match = end + 1;
    }
    return false;
}
