/* SPDX-License-Identifier: MIT */
/* Everything that explains: --help, `help`, docs/cli.md (`help markdown`), the completion. All of
 * it is made from the tables. */
#include "cli/help.h"

#include "cli/args.h"
#include "cli/cell.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "service/base/config.h"

#define TEXT_MAX ((size_t)1 << 20)
#define COLUMN 30u /* where the meaning of an option begins */
#define WIDTH 96u
#define NAME_COLUMN 15u

static const char finding[] =
    "The first of these that is set names the service: --data DIR; GANGER_URL, which is\n"
    "http://HOST:PORT or unix:PATH; GANGER_DATA, a data directory; the default one,\n"
    "$XDG_STATE_HOME/ganger (~/.local/state/ganger), as root /var/lib/ganger. In a data\n"
    "directory socket and token are found without further help. GANGER_TOKEN or\n"
    "GANGER_TOKEN_FILE is the token for the service of the environment. When neither is\n"
    "set, the token beside a unix socket or in the data directory is used, but it is\n"
    "never sent to another machine.\n";

static const char codes[] =
    "  0      done; of run, wait and submit --wait: the job succeeded\n"
    "  1      refused: no such job, its state forbids it, no valid token, …\n"
    "  2      wrong usage\n"
    "  124    a time limit ran out: the job's, or --timeout of wait\n"
    "  125    ganger failed: no server answers, an internal error, a job that was lost\n"
    "  126    the job's command could not be started\n"
    "  127    the job's command was not found\n"
    "  128+N  signal N ended the job, or this client\n"
    "run, wait and submit --wait end with the job's own code where it has one; what would\n"
    "be 1 elsewhere is 125 there.\n";

/* Words from column `indent` on, in lines of WIDTH columns; the first line has begun already. */
static void put_wrapped(struct buf *out, const char *text, size_t indent)
{
    size_t column = indent;
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        if (column > indent && column + 1 + len > WIDTH) {
            buf_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            buf_putc(out, ' ');
            column++;
        }
        buf_append(out, text, len);
        column += len;
        text += len + strspn(text + len, " ");
    }
    buf_putc(out, '\n');
}

static void put_option(struct buf *out, const struct option_row *row)
{
    struct buf AUTO_BUF left;
    buf_init(&left, 256);
    if (row->letter != 0)
        buf_printf(&left, "  -%c, ", row->letter);
    else
        buf_puts(&left, "      ");
    buf_printf(&left, "--%s%s%s", row->name, row->value != NULL ? " " : "",
               row->value != NULL ? row->value : "");
    cell_put(out, buf_slice(&left), COLUMN - 1);
    buf_putc(out, ' ');
    put_wrapped(out, row->help, COLUMN);
}

void help_put_command(struct buf *out, const struct command *command)
{
    buf_printf(out, "Usage: ganger %s %s\n\n%s\n", command->name, command->operands,
               command->summary);
    buf_printf(out, "\nExamples:\n%s", command->examples);
    if (command->about[0] != '\0')
        buf_printf(out, "\n%s", command->about);
    bool any = false;
    for (size_t i = 0; i < n_option_rows; i++) {
        if ((option_rows[i].commands & command->bit) == 0)
            continue;
        if (!any)
            buf_puts(out, "\nOptions:\n");
        any = true;
        put_option(out, &option_rows[i]);
    }
}

void help_put_overview(struct buf *out)
{
    buf_puts(out, "Usage: ganger COMMAND [OPTION…] [ARGUMENT…]\n\n"
                  "Runs commands as durable jobs on forked workers.\n\n"
                  "Examples:\n"
                  "  ganger serve &                     start a service\n"
                  "  ganger run -- date                 run a command as a job\n"
                  "  id=$(ganger submit -- sleep 60)    submit and go on\n"
                  "  ganger wait $id                    wait for its end\n\nCommands:\n");
    for (size_t i = 0; i < n_commands; i++) {
        buf_puts(out, "  ");
        cell_put(out, slice_of(commands[i].name), NAME_COLUMN);
        buf_printf(out, "%s\n", commands[i].summary);
    }
    buf_printf(out,
               "\nFinding the service:\n%s\nExit codes:\n%s\n"
               "More: ganger help COMMAND\n",
               finding, codes);
}

void help_put_group(struct buf *out, const char *group)
{
    size_t len = strlen(group);
    buf_printf(out, "Usage: ganger %s VERB [OPTION…] [ARGUMENT…]\n\nVerbs:\n", group);
    for (size_t i = 0; i < n_commands; i++) {
        if (strncmp(commands[i].name, group, len) != 0 || commands[i].name[len] != ' ')
            continue;
        buf_puts(out, "  ");
        cell_put(out, slice_of(commands[i].name + len + 1), NAME_COLUMN);
        buf_printf(out, "%s\n", commands[i].summary);
    }
    buf_printf(out, "\nMore: ganger help %s VERB\n", group);
}

static void put_fenced(struct buf *out, const char *text)
{
    buf_printf(out, "```text\n%s```\n", text);
}

static void put_markdown_option(struct buf *out, const struct option_row *row)
{
    buf_puts(out, "| `");
    if (row->letter != 0)
        buf_printf(out, "-%c, ", row->letter);
    buf_printf(out, "--%s%s%s` | %s |\n", row->name, row->value != NULL ? " " : "",
               row->value != NULL ? row->value : "", row->help);
}

static void put_markdown_command(struct buf *out, const struct command *command)
{
    buf_printf(out, "\n## ganger %s\n\n`ganger %s %s`\n\n%s\n", command->name, command->name,
               command->operands, command->summary);
    if (command->about[0] != '\0')
        buf_printf(out, "\n%s", command->about);
    buf_puts(out, "\n");
    put_fenced(out, command->examples);
    if (command->run == NULL)
        return;
    buf_puts(out, "\n| option | meaning |\n|---|---|\n");
    for (size_t i = 0; i < n_option_rows; i++) {
        if ((option_rows[i].commands & command->bit) != 0)
            put_markdown_option(out, &option_rows[i]);
    }
}

static void put_markdown(struct buf *out)
{
    buf_puts(
        out,
        "# The command line\n\n"
        "Written by `ganger help markdown` from the tables in `cli/table.c`.\n\n"
        "Data goes to stdout, messages to stderr. A progress line appears on a terminal\n"
        "only. What jobs wrote reaches a terminal without its escape sequences, unless\n"
        "`--raw` is given; into a file or a pipe it goes byte for byte. No colours are used.\n\n"
        "## Finding the service\n\n");
    buf_puts(out, finding);
    buf_puts(out, "\n## Exit codes\n\n");
    put_fenced(out, codes);
    for (size_t i = 0; i < n_commands; i++)
        put_markdown_command(out, &commands[i]);
}

/* `serve` has its options in another table. */
static bool put_serve(struct buf *out, struct err *err)
{
    char name[] = "--help";
    char *argv[] = {name, NULL};
    enum config_action action = CONFIG_HELP;
    struct config_set *set = config_load(1, argv, &action, err);
    if (set == NULL)
        return false;
    config_write(set, CONFIG_HELP, out);
    config_free(set);
    return true;
}

/* "queue" "pause" is "queue pause"; NULL when nothing was asked for. */
static const char *read_topic(const struct args *args, char *out, size_t size)
{
    if (args->n_operands == 0)
        return NULL;
    bool two = args->n_operands > 1;
    (void)snprintf(out, size, "%s%s%s", args->operands[0], two ? " " : "",
                   two ? args->operands[1] : "");
    return out;
}

int command_help(struct cli *cli)
{
    struct buf AUTO_BUF text;
    buf_init(&text, TEXT_MAX);
    char topic_words[64];
    const char *topic = read_topic(cli->args, topic_words, sizeof(topic_words));
    const struct command *command = topic != NULL ? command_find(topic) : NULL;
    if (topic == NULL) {
        help_put_overview(&text);
    } else if (strcmp(topic, "markdown") == 0) {
        put_markdown(&text);
    } else if (command_is_group(topic)) {
        help_put_group(&text, topic);
    } else if (command == NULL) {
        const char *near = command_near(topic);
        output_error(cli->out, "there is no command \"%s\"%s%s%s", topic,
                     near != NULL ? "; did you mean " : "", near != NULL ? near : "",
                     near != NULL ? "?" : "");
        return CLI_USAGE;
    } else if (command->bit == IN_SERVE) {
        struct err err = {0};
        if (!put_serve(&text, &err)) {
            output_error(cli->out, "%s", err.detail);
            return CLI_FAILED;
        }
    } else {
        help_put_command(&text, command);
    }
    return output_text(buf_slice(&text)) ? CLI_OK : CLI_GANGER;
}
