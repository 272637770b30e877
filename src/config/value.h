/* Values as people write them. */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/clock.h"

#define VALUE_TEXT 32

bool value_integer(const char *text, int64_t *ret);
/* A whole number and a unit: us, ms, s, m, h, d.  "0" needs no unit. */
bool value_duration(const char *text, mono_us *ret);
/* Bytes, or a whole number and KiB, MiB or GiB. */
bool value_size(const char *text, int64_t *ret);
/* yes, no, true, false, on, off, 1, 0. */
bool value_boolean(const char *text, bool *ret);

/* With the largest unit that needs no fraction. */
void value_duration_text(mono_us value, char ret[VALUE_TEXT]);
void value_size_text(int64_t value, char ret[VALUE_TEXT]);

#endif
