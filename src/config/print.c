#include <string.h>

#include "config/options.h"
#include "config/state.h"

#define HELP_WIDTH 96

void config_print(const struct config *config, FILE *out)
{
    char value[8300];

    for (size_t i = 0; i < option_count; i++) {
        option_text(&options[i], &config->relay, value, sizeof(value));
        fprintf(out, "%-24s %-28s %s\n", options[i].name, value,
                config->origins[i] ? config->origins[i] : "default");
    }
    for (size_t i = 0; i < config->relay.kafka_count; i++) {
        const struct config_pair *pair = &config->relay.kafka[i];
        char name[160];

        snprintf(name, sizeof(name), "kafka.%s", pair->name);
        fprintf(out, "%-24s %-28s %s\n", name, kafka_secret(pair->name) ? "***" : pair->value,
                config->kafka_origins[i]);
    }
}

/* Breaks text between words so that the column is as wide as the help. */
static void print_wrapped(FILE *out, int indent, const char *text)
{
    size_t width = HELP_WIDTH - (size_t)indent;

    while (*text) {
        size_t size = strlen(text);

        if (size > width) {
            for (size = width; size > 0 && text[size] != ' '; size--)
                ;
            if (size == 0)
                size = strcspn(text, " ");
        }
        fprintf(out, "%*s%.*s\n", indent, "", (int)size, text);
        text += size;
        text += strspn(text, " ");
    }
}

void config_help(FILE *out)
{
    fputs("usage: outbox-relay [--config FILE] [--name=value ...]\n"
          "\n"
          "Publishes the events of an outbox to Kafka and delivers its webhooks.\n"
          "\n"
          "  --config FILE  reads options from FILE (or OUTBOX_CONFIG), lines `name = value`\n"
          "  --check        checks the configuration, prints it without secrets, and exits\n"
          "  --version      prints the version\n"
          "  --help         prints this\n"
          "\n"
          "Each option is a line of the file, a variable (OUTBOX_LEASE=5s) or a flag\n"
          "(--lease=5s); the flag wins over the variable, the variable over the file.\n"
          "Passwords belong in the file or in a variable: other users can see flags.\n"
          "\n",
          out);
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &options[i];
        char accepts[256];
        char line[400];

        option_accepts(option, accepts, sizeof(accepts));
        fprintf(out, "  %s%s%s\n", option->name, option->fallback && option->fallback[0] ? " = " : "",
                option->fallback ? option->fallback : "");
        print_wrapped(out, 6, option->doc);
        snprintf(line, sizeof(line), "(%s%s)", accepts, option->reloadable ? "; reloadable" : "");
        print_wrapped(out, 6, line);
    }
    fputs("  kafka.NAME\n", out);
    print_wrapped(
        out, 6,
        "any property of librdkafka but those that exactly-once publishing rests on, such as"
        " kafka.bootstrap.servers, which must be given. As a variable: OUTBOX_KAFKA_ and the name with"
        " \"_\" for each \".\", so OUTBOX_KAFKA_BOOTSTRAP_SERVERS. In the file also below [kafka] without"
        " the prefix.");
}
