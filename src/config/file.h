/* Reading a configuration file. */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "base/error.h"

/* One entry; a negative answer, with *reterr set, ends the reading. */
typedef int config_entry(void *user, const char *name, const char *value, int line, outbox_error **reterr);

/* Calls entry for each `name = value` of the file, with "kafka." before the names below
 * [kafka]; other sections only group.  A line that begins with a blank continues the
 * value above it.  "#" and ";" begin a comment, ";" after a blank also within a line. */
int config_file_read(const char *path, config_entry *entry, void *user, outbox_error **reterr);

#endif
