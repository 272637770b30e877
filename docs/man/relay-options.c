/* Prints the table of outbox-relay's options as JSON: the source of its manual page and of the
 * sample configuration, as it is of --help. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "config/options.h"

static json_t *describe(const struct option *option)
{
    char accepts[512];

    option_accepts(option, accepts, sizeof(accepts));
    return json_pack("{s:s,s:s?,s:s,s:s,s:b}", "name", option->name, "default", option->fallback, "accepts",
                     accepts, "doc", option->doc, "reloadable", option->reloadable);
}

int main(void)
{
    json_t *list = json_array();
    int failed;

    for (size_t i = 0; i < option_count; i++)
        json_array_append_new(list, describe(&options[i]));
    failed = json_dumpf(list, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(list);
    return failed || fflush(stdout) ? 1 : 0;
}
