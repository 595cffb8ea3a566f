/* SPDX-License-Identifier: MIT */
/* What is said about the options: --help, --print-config, docs/configuration.md and
 * docker/ganger.conf. */
#include "service/base/config_option.h"

static bool starts_section(size_t i)
{
    return i == 0 ||
           !slice_eq(option_section(&config_options[i - 1]), option_section(&config_options[i]));
}

static void write_section(struct buf *out, const struct option_row *row)
{
    struct slice section = option_section(row);
    buf_printf(out, "[%.*s]\n", (int)section.len, section.ptr);
}

static void write_help(struct buf *out)
{
    buf_puts(
        out,
        "Usage: ganger serve [--data DIR] [--listen ADDR:PORT]... [--workers N] [OPTION]...\n\n"
        "Runs the service. When it can serve, it prints `ready <url>`; SIGTERM drains it, a second "
        "one\n"
        "stops it at once.\n\n"
        "  --config FILE\n"
        "      Read this file instead of /etc/ganger/ganger.conf or "
        "$XDG_CONFIG_HOME/ganger/ganger.conf.\n"
        "  --print-config\n"
        "      Print every option's value and where it comes from.\n"
        "  --help, --help=markdown, --help=conf\n"
        "      This text; the reference as Markdown; a configuration file with all defaults.\n");
    for (size_t i = 0; i < config_n_options; i++) {
        const struct option_row *row = &config_options[i];
        char flag[OPTION_NAME_MAX];
        option_flag(row, flag);
        buf_printf(out, "  %s VALUE", flag);
        buf_printf(out,
                   "%s\n      %s\n      Allowed: ", row->type == OPT_LISTEN ? " (repeatable)" : "",
                   row->help);
        option_allowed(row, out);
        if (row->default_text[0] != '\0')
            buf_printf(out, "; default: %s", row->default_text);
        buf_putc(out, '\n');
    }
    buf_puts(out, "\nA flag goes before the environment (GANGER_WORKERS style names, see "
                  "--help=markdown), the\n"
                  "environment before the file, the file before the default.\n");
}

static void write_markdown(struct buf *out)
{
    buf_puts(out,
             "<!-- Written by `ganger serve --help=markdown`; a test compares. -->\n"
             "# Configuration\n\n"
             "Every option of `ganger serve` has a flag, an environment variable and a key in the "
             "configuration file.\n"
             "A flag goes before the environment, the environment before the file, the file before "
             "the default.\n"
             "`ganger serve --print-config` shows each value in force and where it comes from.\n\n"
             "The file is `--config FILE` (or `GANGER_CONFIG`), else "
             "`$XDG_CONFIG_HOME/ganger/ganger.conf`, else\n"
             "`/etc/ganger/ganger.conf`. It is INI: `[section]`, `key = value`, and comments on "
             "lines of their own that\n"
             "begin with `#` or `;`. A line that begins with white space goes on with the value of "
             "the line before.\n"
             "An unknown section, an unknown key or a key given twice is an error.\n\n"
             "Durations are `250ms`, `30s`, `5m`, `2h`, `7d` or a number of seconds. Sizes are "
             "`64KiB`, `10MiB`, `1GiB`\n"
             "or a number of bytes. Lists are separated by commas, or are JSON arrays of strings; "
             "a list's flag may\n"
             "be repeated.\n");
    for (size_t i = 0; i < config_n_options; i++) {
        const struct option_row *row = &config_options[i];
        char flag[OPTION_NAME_MAX], variable[OPTION_NAME_MAX];
        if (starts_section(i)) {
            struct slice section = option_section(row);
            buf_printf(out, "\n## [%.*s]\n\n", (int)section.len, section.ptr);
            buf_puts(out, "| key | flag and variable | default | allowed | meaning "
                          "|\n|---|---|---|---|---|\n");
        }
        option_flag(row, flag);
        option_variable(row, variable);
        buf_printf(out, "| `%s` | `%s`<br>`%s` | ", option_key(row), flag, variable);
        buf_printf(out, row->default_text[0] != '\0' ? "`%s` | " : "%s | ", row->default_text);
        option_allowed(row, out);
        buf_printf(out, " | %s |\n", row->help);
    }
}

static void write_sample(struct buf *out)
{
    buf_puts(out, "# Written by `ganger serve --help=conf`; a test compares. Every option with its "
                  "default.\n");
    for (size_t i = 0; i < config_n_options; i++) {
        const struct option_row *row = &config_options[i];
        if (starts_section(i)) {
            buf_putc(out, '\n');
            write_section(out, row);
        }
        const char *space = row->default_text[0] == '\0' ? "" : " ";
        buf_printf(out, "# %s\n#%s =%s%s\n", row->help, option_key(row), space, row->default_text);
    }
}

static void write_source(struct buf *out, const struct config_set *set, size_t i)
{
    const struct option_state *state = &set->states[i];
    char name[OPTION_NAME_MAX];
    switch (state->source) {
    case SOURCE_DEFAULT: buf_puts(out, "default"); break;
    case SOURCE_FILE:
        buf_printf(out, "%s, line %u", set->file == NULL ? "text" : set->file, state->line);
        break;
    case SOURCE_ENV:
        option_variable(&config_options[i], name);
        buf_puts(out, name);
        break;
    case SOURCE_FLAG:
        option_flag(&config_options[i], name);
        buf_puts(out, name);
        break;
    }
    if (state->automatic)
        buf_puts(out, " (auto)");
}

/* The output is a configuration file that gives the same values again. */
static void write_values(const struct config_set *set, struct buf *out)
{
    for (size_t i = 0; i < config_n_options; i++) {
        const struct option_row *row = &config_options[i];
        if (starts_section(i)) {
            buf_puts(out, i > 0 ? "\n" : "");
            write_section(out, row);
        }
        buf_puts(out, "# ");
        write_source(out, set, i);
        buf_printf(out, "\n%s =", option_key(row));
        AUTO_BUF struct buf value;
        buf_init(&value, 64 * 1024);
        option_format(row, &set->values, &value);
        if (value.len > 0)
            buf_printf(out, " %.*s", (int)value.len, value.ptr);
        buf_putc(out, '\n');
    }
}

void config_write(const struct config_set *set, enum config_action action, struct buf *out)
{
    switch (action) {
    case CONFIG_HELP: write_help(out); return;
    case CONFIG_HELP_MARKDOWN: write_markdown(out); return;
    case CONFIG_SAMPLE: write_sample(out); return;
    case CONFIG_PRINT: write_values(set, out); return;
    case CONFIG_RUN: return;
    }
}
