#include "relay/reload.h"

#include "runtime/log.h"
#include "runtime/metrics.h"

static void log_warnings(const struct config *config)
{
    const char *warning;

    for (size_t i = 0; (warning = config_warning(config, i)) != NULL; i++)
        log_warning("configuration", LOG_TEXT("warning", warning));
}

bool reload(struct settings *settings, const struct config *current, const struct config_sources *sources)
{
    struct config_changes changes = CONFIG_CHANGES_INIT;
    outbox_error *err = NULL;
    struct config *config = config_reload(current, sources->argc, sources->argv, sources->environment, &changes, &err);

    metric_add(METRIC_RELOADS + (config ? METRIC_APPLIED : METRIC_REFUSED), 1);
    if (config) {
        log_warnings(config);
        if (changes.restart.size > 0)
            log_warning("needs_restart", LOG_TEXT("options", outbox__buf_text(&changes.restart)),
                        LOG_TEXT("note", "changed, but in force only after a restart"));
        log_set_level(config_relay(config)->log_level);
        log_info("reloaded", LOG_TEXT("changed", changes.applied.size ? outbox__buf_text(&changes.applied) : "none"));
        settings_replace(settings, config);
    } else {
        log_error("reload_refused", LOG_TEXT("error", err ? outbox_error_message(err) : "unknown"),
                  LOG_TEXT("consequence", "the configuration stays as it was"));
    }
    config_changes_clear(&changes);
    outbox_error_free(err);
    return config != NULL;
}
