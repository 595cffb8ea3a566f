/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

#include "cli/args.h"
#include "cli/client.h"
#include "cli/help.h"
#include "cli/output.h"
#include "cli/target.h"
#include "cli/watch.h"

static int print_text(const struct command *command)
{
    struct buf AUTO_BUF text;
    buf_init(&text, (size_t)64 << 10);
    if (command == NULL)
        help_put_overview(&text);
    else
        help_put_command(&text, command);
    return output_text(buf_slice(&text)) ? CLI_OK : CLI_GANGER;
}

/* "ganger pool", or with a second word that is no verb of it. */
static void refuse_verb(struct output *out, const char *group)
{
    struct buf AUTO_BUF verbs;
    buf_init(&verbs, 1024);
    command_put_verbs(group, &verbs);
    output_error(out, "%s wants one of: %.*s; see: ganger help %s", group, (int)verbs.len,
                 verbs.ptr, group);
}

static int refuse_name(struct output *out, const char *name, const char *first)
{
    const char *near = command_near(name);
    if (near != NULL)
        output_error(out, "there is no command \"%s\"; did you mean %s?", name, near);
    else if (command_is_group(first))
        refuse_verb(out, first);
    else
        output_error(out, "there is no command \"%s\"; see: ganger help", name);
    return CLI_USAGE;
}

#define NAME_MAX_LEN 64u

/* The words of argv that name the command, as one text: "queue pause". Returns how many they are;
 * 0 when the first one needs a second, and refuses that. */
static int read_name(struct output *out, int argc, char **argv, char name[NAME_MAX_LEN])
{
    (void)snprintf(name, NAME_MAX_LEN, "%s", argv[1]);
    if (!command_is_group(argv[1]))
        return 1;
    if (argc < 3 || argv[2][0] == '-') {
        refuse_verb(out, argv[1]);
        return 0;
    }
    (void)snprintf(name, NAME_MAX_LEN, "%s %s", argv[1], argv[2]);
    return 2;
}

/* `ganger queue --help` explains all verbs of the group. */
static bool asks_for_group(int argc, char **argv)
{
    return argc == 3 && command_is_group(argv[1]) &&
           (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0);
}

static int print_group(const char *group)
{
    struct buf AUTO_BUF text;
    buf_init(&text, (size_t)64 << 10);
    help_put_group(&text, group);
    return output_text(buf_slice(&text)) ? CLI_OK : CLI_GANGER;
}

/* Runs a command that talks to the service, or one that needs none. */
static int run_connected(struct cli *cli)
{
    const struct command *command = cli->args->command;
    struct err err = {0};
    struct target target = {0};
    if (command->bit == IN_HELP || command->bit == IN_COMPLETION)
        return command->run(cli);
    int code = CLI_GANGER;
    if (!target_find(cli->args->value[OPT_DATA], &target, &err) ||
        !client_open(&target, &cli->client, &err)) {
        output_error(cli->out, "%s", err.detail);
        code = command->bit == IN_HEALTH ? CLI_FAILED : CLI_GANGER;
    } else {
        client_set_ticker(cli->client, watch_tick_remarks, cli->out);
        code = command->run(cli);
    }
    client_close(cli->client);
    target_release(&target);
    return code;
}

int cli_main(int argc, char **argv)
{
    struct output out;
    output_init(&out, false, false);
    const char *name = argc >= 2 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return print_text(NULL);
    if (strcmp(name, "--version") == 0)
        return output_text(SLICE_LIT("ganger " GANGER_VERSION "\n")) ? CLI_OK : CLI_GANGER;
    if (name[0] == '\0' || name[0] == '-') {
        output_error(&out, "a command comes first, as in: ganger run -- date; see: ganger help");
        return CLI_USAGE;
    }
    if (asks_for_group(argc, argv))
        return print_group(name);
    char full_name[NAME_MAX_LEN];
    int n_words = read_name(&out, argc, argv, full_name);
    if (n_words == 0)
        return CLI_USAGE;
    const struct command *command = command_find(full_name);
    if (command == NULL || command->run == NULL)
        return refuse_name(&out, full_name, name);
    struct err err = {0};
    struct args args;
    if (!args_read(command, argc - n_words, argv + n_words, &args, &err)) {
        output_error(&out, "%s; see: ganger help %s", err.detail, full_name);
        return CLI_USAGE;
    }
    output_init(&out, args_has(&args, OPT_QUIET), args_has(&args, OPT_RAW));
    struct cli cli = {.args = &args, .out = &out};
    int code = args_has(&args, OPT_HELP) ? print_text(command) : run_connected(&cli);
    args_release(&args);
    return code;
}
