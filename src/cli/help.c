#include "cli/help.h"

#include <outbox/version.h>

#include "cli/output.h"

const struct flag_spec common_flags[] = {
    {"dsn", "DSN", "connection string of the database; else OUTBOX_DSN (\"\": libpq's own variables)"},
    {"json", NULL, "print JSON instead of a table"},
    {"insecure", NULL, "no TLS is needed to other machines; else OUTBOX_INSECURE"},
    {"connect-timeout", "TIME", "for the connection; 10s"},
    {"statement-timeout", "TIME", "for each statement; 30s, migrate 10m"},
    {"help", NULL, "describe the command"},
    {NULL, NULL, NULL},
};

static const struct exit_text common_exits[] = {
    {CLI_OK, "done"},
    {CLI_FAILED, "failed"},
    {CLI_USAGE, "the command line, or a value in it, is not accepted"},
    {CLI_CONNECT, "the database cannot be reached, or did not answer in time"},
    {CLI_NOT_FOUND, "what was named does not exist"},
    {CLI_REFUSED, "refused: a conflict, or missing rights"},
    {0, NULL},
};

static void print_flags(FILE *out, const char *title, const struct flag_spec *flags)
{
    fprintf(out, "\n%s\n", title);
    for (; flags->name; flags++) {
        char left[64];

        snprintf(left, sizeof(left), "--%s%s%s", flags->name, flags->value ? " " : "",
                 flags->value ? flags->value : "");
        fprintf(out, "  %-26s %s\n", left, flags->help);
    }
}

static void print_exits(FILE *out, const char *title, const struct exit_text *exits)
{
    fprintf(out, "\n%s\n", title);
    for (; exits->text; exits++)
        fprintf(out, "  %d  %s\n", exits->code, exits->text);
}

void help_print_command(FILE *out, const struct command *command)
{
    const struct example *example = command->examples;

    fprintf(out, "usage: outboxctl %s%s%s [flags]\n\n%s.\n", command->name, command->operands[0] ? " " : "",
            command->operands, command->summary);
    if (command->help)
        fprintf(out, "\n%s\n", command->help);
    if (command->flags)
        print_flags(out, "flags:", command->flags);
    print_flags(out, "flags of every command:", common_flags);
    if (example)
        fputs("\nexamples:\n", out);
    for (; example && example->line; example++)
        fprintf(out, "  outboxctl %s\n      %s\n", example->line, example->text);
    if (command->exits)
        print_exits(out, "exit codes, besides those of every command:", command->exits);
}

void help_print_all(FILE *out, const struct command *const *commands, size_t count)
{
    fputs("usage: outboxctl COMMAND [flags]\n\ncommands (* changes the database):\n", out);
    for (size_t i = 0; i < count; i++) {
        char left[64];

        snprintf(left, sizeof(left), "%s%s%s", commands[i]->name, commands[i]->operands[0] ? " " : "",
                 commands[i]->operands);
        fprintf(out, "  %-26s %s %s\n", left, commands[i]->changes ? "*" : " ", commands[i]->summary);
    }
    fputs("  help COMMAND                 describes one of them\n", out);
    print_flags(out, "flags of every command:", common_flags);
    print_exits(out, "exit codes:", common_exits);
}

static json_t *flags_json(const struct flag_spec *flags)
{
    json_t *array = json_array();

    for (; flags && flags->name; flags++)
        json_array_append_new(
            array, json_pack("{s:s,s:s?,s:s}", "name", flags->name, "value", flags->value, "help", flags->help));
    return array;
}

static json_t *exits_json(const struct exit_text *exits)
{
    json_t *array = json_array();

    for (; exits && exits->text; exits++)
        json_array_append_new(array, json_pack("{s:i,s:s}", "code", exits->code, "text", exits->text));
    return array;
}

static json_t *command_json(const struct command *command)
{
    json_t *examples = json_array();

    for (const struct example *example = command->examples; example && example->line; example++)
        json_array_append_new(examples,
                              json_pack("{s:s,s:s}", "line", example->line, "text", example->text));
    return json_pack("{s:s,s:s,s:s,s:s?,s:b,s:o,s:o,s:o}", "name", command->name, "operands",
                     command->operands, "summary", command->summary, "help", command->help, "changes",
                     command->changes, "flags", flags_json(command->flags), "examples", examples, "exits",
                     exits_json(command->exits));
}

void help_print_json(FILE *out, const struct command *const *commands, size_t count)
{
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, command_json(commands[i]));
    print_json(out, json_pack("{s:s,s:s,s:o,s:o,s:o}", "program", "outboxctl", "version", OUTBOX_VERSION,
                              "commands", array, "flags", flags_json(common_flags), "exits",
                              exits_json(common_exits)));
}
