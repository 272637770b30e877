/* What config.c collects and print.c shows. */
#ifndef CONFIG_STATE_H
#define CONFIG_STATE_H

#include <stdatomic.h>

#include "config/config.h"

struct config_seen { /* a name of the file */
    struct config_seen *next;
    int line;
    char name[128];
};

struct config {
    atomic_int references;
    struct relay_config relay;
    enum config_action action;
    const char *file; /* borrowed from argv or the environment; NULL: none */
    char **texts;     /* by option: the copy that its field points at */
    char **origins;   /* by option: where its value comes from; NULL: nowhere */
    char **kafka_origins;
    struct config_seen *seen;
    char **warnings;
    size_t warning_count;
    char file_secret[128]; /* an option of the file that holds one; "": none */
};

#endif
