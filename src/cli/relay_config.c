#include "cli/relay_config.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

bool relay_config_named(const struct cli *cli)
{
    return flag_given(&cli->args, "config") || flag_given(&cli->args, "kafka") || getenv("OUTBOX_CONFIG") ||
           getenv("OUTBOX_KAFKA_BOOTSTRAP_SERVERS");
}

int relay_config_load(struct cli *cli, struct config **ret)
{
    static const struct {
        const char *flag, *option;
    } map[] = {{"config", "--config"},
               {"kafka", "--kafka.bootstrap.servers"},
               {"topic-prefix", "--topic_prefix"},
               {"dsn", "--dsn"}};
    enum { WORDS = sizeof(map) / sizeof(map[0]) * 2 + 2 };
    char *words[WORDS] = {(char *)(uintptr_t) "outboxctl"};
    outbox_error *err = NULL;
    struct config *config;
    int count = 1;

    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        const char *value = flag_text(&cli->args, map[i].flag);

        if (!value)
            continue;
        words[count++] = (char *)(uintptr_t)map[i].option;
        words[count++] = (char *)(uintptr_t)value;
    }
    if (flag_given(&cli->args, "insecure"))
        words[count++] = (char *)(uintptr_t) "--insecure=yes";
    config = config_load(count, words, environ, &err);
    if (!config)
        return cli_fail_error(err);
    cli->dsn = config_relay(config)->dsn;
    cli->insecure = config_relay(config)->insecure;
    *ret = config;
    return CLI_OK;
}
