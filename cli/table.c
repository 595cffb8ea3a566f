/* SPDX-License-Identifier: MIT */
#include "cli/table.h"

#include "service/base/job.h"

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < n_commands; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

bool command_is_group(const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i < n_commands; i++) {
        if (strncmp(commands[i].name, word, len) == 0 && commands[i].name[len] == ' ')
            return true;
    }
    return false;
}

void command_put_verbs(const char *group, struct buf *out)
{
    const size_t len = strlen(group);
    const char *comma = "";
    for (size_t i = 0; i < n_commands; i++) {
        if (strncmp(commands[i].name, group, len) != 0 || commands[i].name[len] != ' ')
            continue;
        buf_printf(out, "%s%s", comma, commands[i].name + len + 1);
        comma = ", ";
    }
}

#define NEAR_MAX 24u

/* Edit distance with insertions, deletions, replacements and swaps of neighbours (Damerau's four
 * slips of the hand, "optimal string alignment"). Words beyond NEAR_MAX are far from everything. */
static size_t word_distance(const char *a, const char *b)
{
    size_t d[NEAR_MAX + 1][NEAR_MAX + 1];
    size_t na = strlen(a), nb = strlen(b);
    if (na > NEAR_MAX || nb > NEAR_MAX)
        return SIZE_MAX;
    for (size_t i = 0; i <= na; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= nb; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        for (size_t j = 1; j <= nb; j++) {
            size_t replaced = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = MIN(replaced, MIN(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = MIN(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[na][nb];
}

/* A slip changes up to two letters, and in a short word no more than half of them. */
static bool word_is_near(const char *word, const char *name, size_t *best)
{
    size_t distance = word_distance(word, name);
    if (distance > 2 || distance * 2 > strlen(name) || distance >= *best)
        return false;
    *best = distance;
    return true;
}

const char *command_near(const char *word)
{
    const char *near = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < n_commands; i++) {
        if (word_is_near(word, commands[i].name, &best))
            near = commands[i].name;
    }
    return near;
}

const char *option_name(enum option_id id)
{
    size_t i = 0;
    while (i < n_option_rows && option_rows[i].id != id)
        i++;
    PRE(i < n_option_rows);
    return option_rows[i].name;
}

const char *option_near(const char *word, command_set set)
{
    const char *near = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < n_option_rows; i++) {
        if ((option_rows[i].commands & set) != 0 && word_is_near(word, option_rows[i].name, &best))
            near = option_rows[i].name;
    }
    return near;
}

void table_put_states(struct buf *out)
{
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        if (i > 0)
            buf_putc(out, ' ');
        buf_puts(out, job_state_name((enum job_state)i));
    }
}
