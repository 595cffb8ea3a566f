/* SPDX-License-Identifier: MIT */
/* What a job takes from its parents and from blobs, looked up when it is about to start. Small
 * outputs are copied from the store; a spooled one is only named, and its bytes never come here. */
#include "service/dispatch.h"

#include "storage/blobs.h"
#include "storage/inputs.h"

#define MAX_INLINE_BYTES ((size_t)4 << 20) /* of all inputs of one job */

_Static_assert((int)JOB_INPUT_STDIN == (int)INPUT_STDIN && (int)JOB_INPUT_FILE == (int)INPUT_FILE &&
                   (int)JOB_INPUT_ARGUMENT == (int)INPUT_ARGUMENT,
               "the kinds of inputs are the pool's");
_Static_assert(MAX_JOB_INPUTS == TASK_MAX_INPUTS && MAX_JOB_BLOBS == TASK_MAX_BLOBS &&
                   MAX_JOB_OUTPUTS == TASK_MAX_OUTPUTS,
               "what is accepted can be run");

/* Why an input cannot be had; NULL: it can. */
static const char *trouble(enum source_state state)
{
    static const char *const words[SOURCE_STATE_COUNT] = {
        [SOURCE_GONE] = "has been deleted",
        [SOURCE_EXPIRED] = "has expired; a longer \"keep\" of that job keeps it",
        [SOURCE_AGAIN] = "is not there: that job runs once more",
        [SOURCE_CUT] = "was cut at its limit; a higher \"limits\": {\"output\"} keeps all of it",
        [SOURCE_DAMAGED] = "is damaged",
    };
    return words[state];
}

static void say_missing(const struct input_row *row, const struct input_source *source,
                        char why[240])
{
    char id[37];
    if (source->state != SOURCE_GONE)
        job_id_format(&source->id, id);
    else /* then its number is all that is known of it */
        (void)snprintf(id, sizeof id, "with the number %lld", (long long)row->parent);
    (void)snprintf(why, 240, "The %s of job %s %s", row->stream == 0 ? "stdout" : "stderr", id,
                   trouble(source->state));
}

static struct task_input input_of(const struct input_row *row, const struct input_source *source)
{
    return (struct task_input){
        .kind = (enum input_kind)row->kind,
        .name = row->name,
        .argument = row->argument,
        .at = row->at,
        .len = row->len,
        .is_spooled = source->state == SOURCE_SPOOLED,
        .bytes = source->bytes,
        .job_no = row->parent,
        .attempt = source->attempt,
        .stream = row->stream,
        .size = source->size,
    };
}

/* Bytes of a blob never come here: it is named by its file. False: the store failed. */
static bool take_blob(struct dispatch *d, const struct input_row *row, struct task_input *ret,
                      char why[240], struct err *err)
{
    struct err missing = {0};
    struct blob blob;
    if (!blob_find_by_no(d->store, row->parent, &blob, &missing)) {
        (void)snprintf(why, 240,
                       "A blob that the job takes has been deleted, or its time was over");
        return missing.code == ERR_NOT_FOUND || err_set(err, missing.code, "%s", missing.detail);
    }
    *ret = (struct task_input){.kind = (enum input_kind)row->kind,
                               .name = row->name,
                               .is_blob = true,
                               .blob = blob.file,
                               .size = blob.bytes};
    return true;
}

/* why[0] stays 0 when all can be had. */
static bool collect(struct dispatch *d, struct flight *f, const struct input_list *list,
                    char why[240], struct err *err)
{
    size_t n_bytes = 0;
    f->inputs = arena_alloc(&f->arena, (list->n + 1) * sizeof *f->inputs);
    f->n_inputs = list->n;
    for (uint32_t i = 0; i < list->n && f->inputs != NULL; i++) {
        struct input_source source;
        if (list->rows[i].stream == INPUT_OF_BLOB) {
            if (!take_blob(d, &list->rows[i], &f->inputs[i], why, err))
                return false;
            if (why[0] != '\0')
                return true;
            continue;
        }
        if (!inputs_source(d->store, &list->rows[i], &f->arena, &source, err))
            return false;
        n_bytes += source.bytes.len;
        if (trouble(source.state) != NULL) {
            say_missing(&list->rows[i], &source, why);
            return true;
        }
        if (n_bytes > MAX_INLINE_BYTES) {
            (void)snprintf(why, 240, "What it takes from other jobs is more than %zu MiB in all",
                           MAX_INLINE_BYTES >> 20);
            return true;
        }
        f->inputs[i] = input_of(&list->rows[i], &source);
    }
    return f->inputs != NULL ||
           err_set(err, ERR_OVERLOADED, "There is not enough memory for what the job takes");
}

bool flight_take_inputs(struct dispatch *d, const struct turn *turn, struct flight *f, bool *ret_ok,
                        struct err *err)
{
    const struct job_row *row = &f->info.row;
    struct input_list list;
    char why[240] = "";
    *ret_ok = true;
    if ((row->flags & JOB_INPUTS) == 0)
        return true;
    /* All elements of a batch take the same. */
    if (!inputs_get(d->store, (row->flags & JOB_ITEM) != 0 ? row->batch : row->no, &f->arena, &list,
                    err) ||
        !collect(d, f, &list, why, err))
        return err_wrap(err, "take what job %lld asks for", (long long)row->no);
    if (why[0] == '\0')
        return true;
    *ret_ok = false;
    d->dirty = true; /* the next in line may have its place */
    return jobs_refuse(d->store,
                       &(struct job_refusal){row->no, REASON_DEPENDENCY, turn->now_us, why}, err);
}
