/* SPDX-License-Identifier: MIT */
/* ganger map: items go up while results come down. */
#include "cli/args.h"
#include "cli/batch.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/joblog.h"
#include "cli/keep.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/spec.h"
#include "cli/tally.h"
#include "cli/upload.h"

#include <inttypes.h>

#define TURN_MS 100
#define BODY_MAX ((size_t)16 << 20)

struct map {
    struct cli *cli;
    struct args args; /* as given, with placeholders as the service knows them */
    char **log_words; /* a function's name and what follows the item, or the command; own */
    char **words;     /* of these: the command, or the arguments */
    int n_words;      /* operands before the first ::: */
    char *name;       /* own, or NULL */
    bool star;        /* items are arrays */
    struct items *items;
    struct buf members;
    struct upload upload;
    struct joblog *log;
    struct tally tally;
};

static int words_before_mark(const struct args *args)
{
    int n = 0;
    while (n < args->n_operands && strcmp(args->operands[n], ":::") != 0 &&
           strcmp(args->operands[n], "::::") != 0)
        n++;
    return n;
}

/* Items become [number, text, column…]: {#} is {1} of these, {} is {2}, {1} is {3}. */
static char *shifted(const char *word)
{
    struct buf out;
    buf_init(&out, BODY_MAX);
    buf_puts(&out, "");
    while (*word != '\0') {
        char *end = NULL;
        long n = *word == '{' && word[1] >= '1' && word[1] <= '9' ? strtol(word + 1, &end, 10) : 0;
        if (strncmp(word, "{#}", 3) == 0) {
            buf_puts(&out, "{1}");
            word += 3;
        } else if (strncmp(word, "{}", 2) == 0) {
            buf_puts(&out, "{2}");
            word += 2;
        } else if (n > 0 && n < 1000 && *end == '}') {
            buf_printf(&out, "{%ld}", n + 2);
            word = end + 1;
        } else {
            buf_putc(&out, *word++);
        }
    }
    buf_putc(&out, '\0');
    char *text = buf_steal(&out);
    PRE(text != NULL);
    return text;
}

static bool is_call(const struct map *map)
{
    return args_has(&map->args, OPT_FUNCTION);
}

/* The service has no {#}, and its {} of an array is JSON: with either the items are shifted. */
static bool wants_shift(const struct map *map)
{
    bool columns = items_have_columns(map->items);
    if (is_call(map)) /* its items are arguments, not texts to be put into words */
        return false;
    for (int i = 0; i < map->n_words; i++) {
        const char *word = map->args.operands[i];
        if (strstr(word, "{#}") != NULL || (columns && strstr(word, "{}") != NULL))
            return true;
    }
    const char *name = map->args.value[OPT_NAME];
    return name != NULL && strstr(name, "{#}") != NULL;
}

static void prepare_words(struct map *map)
{
    bool shift = wants_shift(map);
    map->log_words = must_alloc(((size_t)map->n_words + 2) * sizeof(*map->words));
    map->words = map->log_words + is_call(map);
    if (is_call(map)) {
        map->log_words[0] = strdup(map->args.value[OPT_FUNCTION]);
        PRE(map->log_words[0] != NULL);
    }
    for (int i = 0; i < map->n_words; i++) {
        const char *word = map->args.operands[i];
        map->words[i] = shift ? shifted(word) : strdup(word);
        PRE(map->words[i] != NULL);
    }
    if (shift) {
        items_number(map->items);
        if (map->args.value[OPT_NAME] != NULL)
            map->args.value[OPT_NAME] = map->name = shifted(map->args.value[OPT_NAME]);
    }
    map->star = shift || items_have_columns(map->items);
}

static void put_number(struct buf *out, const struct args *args, enum option_id id,
                       const char *member)
{
    if (args_integer(args, id, 0) > 0)
        buf_printf(out, ",\"%s\":%" PRId64, member, args_integer(args, id, 0));
}

/* Everything of POST /v1/batches but `items` and `open`. */
static bool put_members(struct map *map, struct err *err)
{
    struct buf AUTO_BUF out;
    buf_init(&out, BODY_MAX);
    buf_putc(&out, '{');
    const struct spec_task task = {map->args.value[OPT_FUNCTION], map->words, map->n_words};
    if (!spec_put_task(&task, &map->args, &out, err) || !spec_put_members(&map->args, &out, err))
        return false;
    if (map->star)
        buf_puts(&out, ",\"star\":true");
    put_number(&out, &map->args, OPT_CHUNKSIZE, "chunksize");
    put_number(&out, &map->args, OPT_JOBS, "max_parallel");
    if (map->tally.halt.when != HALT_NEVER)
        buf_printf(&out, ",\"max_failures\":%" PRId64, map->tally.halt.failures);
    buf_append(&map->members, out.ptr + 1, out.len - 1);
    return (buf_ok(&out) && buf_ok(&map->members)) ||
           err_set(err, ERR_TOO_LARGE, "the command is too large");
}

static bool keep_item(void *owner, struct slice item, struct err *err)
{
    return joblog_item(owner, item, err);
}

static struct joblog_wish log_wish(const struct map *map)
{
    return (struct joblog_wish){.path = map->args.value[OPT_JOBLOG],
                                .words = map->log_words,
                                .n = map->n_words + is_call(map),
                                .star = map->star,
                                .is_call = is_call(map)};
}

static bool map_open(struct map *map, struct cli *cli, struct err *err)
{
    *map = (struct map){.cli = cli, .args = *cli->args};
    buf_init(&map->members, BODY_MAX);
    map->n_words = words_before_mark(cli->args);
    tally_init(&map->tally, cli);
    upload_init(&map->upload, cli, NULL);
    if (map->n_words == 0 && !is_call(map))
        return err_set(err, ERR_INVALID, "map needs a command before the items, or --function");
    if (!items_open(cli->args, map->n_words, false, &map->items, err))
        return false;
    map->upload.items = map->items;
    map->upload.leaves_open = args_has(cli->args, OPT_OPEN);
    prepare_words(map);
    if (!put_members(map, err))
        return false;
    map->upload.members = buf_slice(&map->members);
    const char *dir = args_has(cli->args, OPT_DRY_RUN) ? NULL : cli->args->value[OPT_RESULTS];
    if (dir != NULL && !keep_open(dir, &map->tally.keep_fd, err))
        return false;
    if (!args_has(cli->args, OPT_JOBLOG) || args_has(cli->args, OPT_DRY_RUN))
        return true;
    struct joblog_wish wish = log_wish(map);
    if (!joblog_open(&wish, &map->log, err))
        return false;
    map->tally.log = map->upload.owner = map->log;
    map->upload.on_item = keep_item;
    return true;
}

static void map_close(struct map *map)
{
    for (int i = 0; map->words != NULL && i < map->n_words + is_call(map); i++)
        free(map->log_words[i]);
    free(map->log_words);
    free(map->name);
    tally_release(&map->tally);
    upload_release(&map->upload);
    joblog_close(map->log);
    items_close(map->items);
    buf_release(&map->members);
}

static bool dry_run(struct map *map, struct err *err)
{
    struct joblog_wish wish = log_wish(map);
    for (int64_t index = 0;; index++) {
        struct buf AUTO_BUF item, line;
        enum items_state state = ITEMS_WANTED;
        buf_init(&item, BODY_MAX);
        buf_init(&line, BODY_MAX);
        while (state == ITEMS_WANTED) {
            if (!items_next(map->items, &item, &state, err) ||
                (state == ITEMS_WANTED && !items_fill(map->items, err)))
                return false;
        }
        if (state == ITEMS_END)
            return true;
        joblog_put_command(&line, &wish, buf_slice(&item), index);
        buf_putc(&line, '\n');
        if (!output_text(buf_slice(&line)))
            return err_sys(err, ERR_INTERNAL, "cannot write the output");
    }
}

/* All items up, nothing down. */
static bool send_all(struct map *map, struct err *err)
{
    while (!map->upload.over) {
        enum upload_state state;
        if (!upload_step(&map->upload, &state, err) || !upload_turn(&map->upload, state, err))
            return false;
    }
    return true;
}

/* One piece of work in each direction, then waits for either. */
static bool map_step(struct map *map, struct err *err)
{
    struct upload *upload = &map->upload;
    enum upload_state state = UPLOAD_WAITS;
    bool any = false;
    if (!tally_is_halted(&map->tally) && !upload_step(upload, &state, err))
        return false;
    if (upload->batch[0] != '\0' && !tally_begin(&map->tally, upload->batch, err))
        return false;
    map->tally.total = upload->sent;
    map->tally.all_sent = upload->over;
    if (!tally_step(&map->tally, &any, err))
        return false;
    bool works = any || (!upload->over && state == UPLOAD_SENDS);
    client_watch_fd(map->cli->client, state == UPLOAD_WANTS ? items_fd(map->items) : -1);
    bool ok = tally_turn(&map->tally, works ? 0 : TURN_MS, err);
    client_watch_fd(map->cli->client, -1);
    return ok;
}

static bool map_run(struct map *map, struct err *err)
{
    for (;;) {
        bool nothing = map->upload.over && map->upload.batch[0] == '\0';
        if (nothing || tally_is_over(&map->tally))
            return true;
        if (!map_step(map, err))
            return false;
    }
}

/* Who leaves gets to know how to come back; what will not be finished is not left half-way. */
static int map_left(struct map *map, const struct err *err)
{
    struct cli *cli = map->cli;
    const char *id = map->upload.batch;
    int code = outcome_of_error(cli, err);
    bool interrupted = client_interrupted(cli->client) != 0;
    struct err ignored = {0};
    if (!interrupted)
        output_error(cli->out, "%s", err->detail);
    if (id[0] == '\0')
        return code;
    client_rearm(cli->client);
    if (map->tally.halt.when != HALT_NEVER || (!interrupted && !map->upload.over)) {
        bool told = ask_batch_cancel(cli, id, &ignored);
        output_error(cli->out, told ? "batch %s is cancelled" : "batch %s could not be cancelled",
                     id);
        return code;
    }
    if (!map->upload.over && !map->upload.leaves_open && !ask_batch_close(cli, id, &ignored))
        output_error(cli->out, "batch %s could not be closed: %s", id, ignored.detail);
    output_error(cli->out,
                 "batch %s of %" PRId64 " items goes on; follow it: ganger batch results -f %s; "
                 "stop it: ganger batch cancel %s",
                 id, map->upload.sent, id, id);
    return code;
}

static int map_detached(struct map *map, struct err *err)
{
    struct buf AUTO_BUF line;
    buf_init(&line, 64);
    if (!send_all(map, err))
        return map_left(map, err);
    if (map->upload.batch[0] != '\0')
        buf_printf(&line, "%s\n", map->upload.batch);
    return output_write(STDOUT_FILENO, buf_slice(&line)) ? CLI_OK : CLI_GANGER;
}

static int map_do(struct map *map)
{
    struct err err = {0};
    if (args_has(map->cli->args, OPT_DRY_RUN)) {
        if (dry_run(map, &err))
            return CLI_OK;
        output_error(map->cli->out, "%s", err.detail);
        return outcome_of_error(map->cli, &err);
    }
    if (!client_catch_signals(map->cli->client, &err))
        return map_left(map, &err);
    if (args_has(map->cli->args, OPT_DETACH))
        return map_detached(map, &err);
    if (!map_run(map, &err))
        return map_left(map, &err);
    return tally_exit_code(&map->tally);
}

int command_map(struct cli *cli)
{
    struct err err = {0};
    struct map map;
    int code = CLI_USAGE;
    if (args_has(cli->args, OPT_OPEN) && !args_has(cli->args, OPT_DETACH)) {
        output_error(cli->out, "--open goes with --detach only");
        return CLI_USAGE;
    }
    if (map_open(&map, cli, &err))
        code = map_do(&map);
    else
        output_error(cli->out, "%s", err.detail);
    map_close(&map);
    return code;
}
