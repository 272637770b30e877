/* Patterns of event types: "*" stands for any characters, also none. */
#ifndef CORE_MATCH_H
#define CORE_MATCH_H

#include <stdbool.h>

bool match_pattern(const char *pattern, const char *text);

#endif
