/* SPDX-License-Identifier: MIT */
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/output.h"

static void put_options(struct buf *out, const struct command *command)
{
    for (size_t i = 0; i < n_option_rows; i++) {
        if ((option_rows[i].commands & command->bit) != 0)
            buf_printf(out, " --%s", option_rows[i].name);
    }
}

/* "--cwd|--data|…": the options whose value has this kind, each name once. */
static void put_alternatives(struct buf *out, uint32_t kinds)
{
    const char *last = "";
    bool first = true;
    for (size_t i = 0; i < n_option_rows; i++) {
        bool wanted = (kinds >> option_rows[i].kind & 1u) != 0;
        if (!wanted || strcmp(option_rows[i].name, last) == 0)
            continue;
        buf_printf(out, "%s--%s", first ? "" : "|", option_rows[i].name);
        last = option_rows[i].name;
        first = false;
    }
}

#define KIND(kind) (1u << (kind))

static void put_values(struct buf *out)
{
    buf_puts(out, "    case $before in\n    ");
    put_alternatives(out, KIND(KIND_FILE));
    buf_puts(out, ")\n        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
                  "        return ;;\n    ");
    put_alternatives(out, KIND(KIND_STATE));
    buf_puts(out, ")\n        mapfile -t COMPREPLY < <(compgen -W \"");
    table_put_states(out);
    buf_puts(out, "\" -- \"$word\")\n        return ;;\n    ");
    put_alternatives(out, KIND(KIND_FUNCTION));
    buf_puts(out, ")\n        mapfile -t COMPREPLY < <(compgen -W \\\n"
                  "            \"$(ganger functions -q 2>/dev/null)\" -- \"$word\")\n"
                  "        return ;;\n    ");
    put_alternatives(out,
                     ~(KIND(KIND_FLAG) | KIND(KIND_FILE) | KIND(KIND_STATE) | KIND(KIND_FUNCTION)));
    buf_puts(out, ")\n        return ;;\n    esac\n");
}

/* Each first word once: verbs of a group follow each other in the table. */
static void put_first_words(struct buf *out)
{
    const char *last = "";
    for (size_t i = 0; i < n_commands; i++) {
        size_t len = strcspn(commands[i].name, " ");
        if (strlen(last) >= len && strncmp(last, commands[i].name, len) == 0 &&
            (last[len] == ' ' || last[len] == '\0'))
            continue;
        buf_printf(out, "%s%.*s", i > 0 ? " " : "", (int)len, commands[i].name);
        last = commands[i].name;
    }
}

/* The second words, after a first one that has them; sets `command` to all words of the name. */
static void put_verbs(struct buf *out)
{
    buf_puts(out, "    local command=${COMP_WORDS[1]} verbs=''\n"
                  "    case $command in\n");
    for (size_t i = 0; i < n_commands; i++) {
        const char *space = strchr(commands[i].name, ' ');
        if (space == NULL)
            continue;
        buf_printf(out, "    %.*s) verbs+=' %s' ;;&\n", (int)(space - commands[i].name),
                   commands[i].name, space + 1);
    }
    buf_puts(out, "    esac\n"
                  "    if [ -n \"$verbs\" ]; then\n"
                  "        if [ \"$COMP_CWORD\" -eq 2 ]; then\n"
                  "            mapfile -t COMPREPLY < <(compgen -W \"$verbs\" -- \"$word\")\n"
                  "            return\n"
                  "        fi\n"
                  "        command+=\" ${COMP_WORDS[2]}\"\n"
                  "    fi\n");
}

/* The name of a branch of the last `case`; NULL: there is nothing to offer. */
static const char *operands_of(const struct command *command)
{
    return command->bit == IN_HELP ? "name" : operand_kinds[command->kind].noun;
}

static void put_command(struct buf *out, const struct command *command)
{
    const char *operands = operands_of(command);
    buf_printf(out, "    '%s') options=\"", command->name);
    put_options(out, command);
    buf_puts(out, "\"");
    if (operands != NULL)
        buf_printf(out, " operands=%s", operands);
    buf_puts(out, " ;;\n");
}

/* What the service knows. */
static void put_listed(struct buf *out)
{
    for (size_t i = 0; i < OPERAND_KIND_COUNT; i++) {
        if (operand_kinds[i].listing != NULL)
            buf_printf(out,
                       "    *,%s) mapfile -t COMPREPLY < <(compgen -W \\\n"
                       "        \"$(ganger %s -q 2>/dev/null)\" -- \"$word\") ;;\n",
                       operand_kinds[i].noun, operand_kinds[i].listing);
    }
}

static void put_bash(struct buf *out)
{
    buf_puts(out, "# bash completion for ganger, written by: ganger completion bash\n"
                  "_ganger() {\n"
                  "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
                  "    local names options='' operands=''\n"
                  "    COMPREPLY=()\n"
                  "    names=\"");
    put_first_words(out);
    buf_puts(out, "\"\n"
                  "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                  "        mapfile -t COMPREPLY < <(compgen -W \"$names\" -- \"$word\")\n"
                  "        return\n"
                  "    fi\n");
    put_verbs(out);
    put_values(out);
    buf_puts(out, "    case $command in\n");
    for (size_t i = 0; i < n_commands; i++)
        put_command(out, &commands[i]);
    buf_puts(out, "    esac\n"
                  "    case $word,$operands in\n"
                  "    -*) mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\") ;;\n");
    put_listed(out);
    buf_puts(out, "    *,command) mapfile -t COMPREPLY < <(compgen -c -f -- \"$word\") ;;\n"
                  "    *,name) mapfile -t COMPREPLY < <(compgen -W \"$names\" -- \"$word\") ;;\n"
                  "    esac\n"
                  "}\n"
                  "complete -F _ganger ganger\n");
}

int command_completion(struct cli *cli)
{
    struct buf AUTO_BUF text;
    buf_init(&text, (size_t)64 << 10);
    if (strcmp(cli->args->operands[0], "bash") != 0) {
        output_error(cli->out, "the only shell with a completion is bash");
        return CLI_USAGE;
    }
    put_bash(&text);
    return output_write(STDOUT_FILENO, buf_slice(&text)) ? CLI_OK : CLI_GANGER;
}
