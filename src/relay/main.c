#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "config/config.h"
#include "pg/conn.h"
#include "relay/precheck.h"
#include "relay/relay.h"
#include "runtime/log.h"

static int run(struct config *config, const struct config_sources *sources)
{
    const struct relay_config *relay = config_relay(config);
    const char *warning;

    log_set_level(relay->log_level);
    for (size_t i = 0; (warning = config_warning(config, i)) != NULL; i++)
        log_warning("configuration", LOG_TEXT("warning", warning));
    return relay_run(config, sources);
}

int main(int argc, char **argv)
{
    outbox_error *err = NULL;
    struct config *config;
    int result = RELAY_EXIT_STOPPED;

#ifndef __SANITIZE_ADDRESS__
    /* Passwords and signing secrets are in memory: no core file shall hold them. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        log_warning("prctl_failed");
#endif
    config = config_load(argc, argv, environ, &err);
    if (!config) {
        fprintf(stderr, "outbox-relay: %s\n", outbox_error_message(err));
        /* Of a wrong configuration a supervisor makes an end; memory comes back. */
        result = outbox_error_code(err) == OUTBOX_ENOMEM ? RELAY_EXIT_DIED : RELAY_EXIT_USAGE;
        outbox_error_free(err);
        return result;
    }
    pg_set_policy(config_relay(config)->insecure, "outbox_relay");
    switch (config_action(config)) {
    case CONFIG_HELP:
        config_help(stdout);
        break;
    case CONFIG_VERSION:
        printf("outbox-relay %s\n", PACKAGE_VERSION);
        break;
    case CONFIG_CHECK:
        config_print(config, stdout);
        fflush(stdout);
        result = precheck(config_relay(config)) ? RELAY_EXIT_STOPPED : RELAY_EXIT_FAILED;
        break;
    default:
        result = run(config, &(struct config_sources){argc, argv, environ});
        break;
    }
    config_free(config);
    return result;
}
