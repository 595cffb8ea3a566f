/* SPDX-License-Identifier: MIT */
#include "service/base/error.h"

#include <errno.h>
#include <stdarg.h>

struct error_row {
    int status;
    const char *slug, *title, *advice;
};

/* What the page /problems/{slug} says: what it means, then what to do. */
#define ADVICE_BAD_REQUEST                                                           \
    "The request could not be read as HTTP or lacks something every request needs. " \
    "Correct it; repeating it unchanged gives the same answer."
#define ADVICE_INVALID_JSON                                                                     \
    "The body is not one JSON value as RFC 8259 defines it, or it breaks a rule that keeps "    \
    "readers in agreement: UTF-8, no duplicate members, limited nesting. The detail names the " \
    "byte."
#define ADVICE_UNAUTHORIZED                                                                \
    "The request carries no token, or one that this server does not know. Send "           \
    "`Authorization: Bearer <token>`; the first token is in the file `token` of the data " \
    "directory."
#define ADVICE_FORBIDDEN \
    "The token is valid, but its scopes do not cover this route. Use another token."
#define ADVICE_FOREIGN_ORIGIN                                                                    \
    "A browser sent this request for a page of another site. If that site is yours, name it in " \
    "the option http.origins."
#define ADVICE_NOT_FOUND                                                                        \
    "The path is unknown, or what it named never existed or was forgotten. Check the id; rows " \
    "of finished jobs are kept for a limited time."
#define ADVICE_METHOD_NOT_ALLOWED \
    "The resource exists, but not with this method. The header Allow lists the methods it has."
#define ADVICE_NOT_ACCEPTABLE \
    "The header Accept excludes every type this route can produce. Widen it or leave it out."
#define ADVICE_STATE_CONFLICT \
    "The job is in a state in which this cannot be done. Read the job again and decide anew."
#define ADVICE_JOB_FAILED                                                                      \
    "The job ended as failed. The answer's member `error` says why, and stderr may say more; " \
    "`POST .../retry` runs it once more."
#define ADVICE_DUPLICATE                                                                          \
    "A job with the same `unique.key` has not ended, and the request asked to be refused then; "  \
    "the member `job` names it. Wait for its end, or ask with `on_conflict` for that job or for " \
    "its replacement."
#define ADVICE_KEY_IN_FLIGHT                                                                     \
    "An earlier request with this Idempotency-Key has not been answered yet. Wait, then repeat " \
    "it; the stored answer is replayed."
#define ADVICE_POOL_CLOSED                                                                     \
    "The pool was closed or terminated: it runs what it has accepted, if anything, and takes " \
    "nothing new. POST .../reopen lets it take jobs again."
#define ADVICE_POOL_BROKEN                                                                       \
    "Several starts of workers in a row have failed, and none is left; `detail` and the member " \
    "`reason` of the pool say why. Jobs that were accepted wait. The pool goes on trying, with " \
    "pauses; POST .../reopen makes it try at once."
#define ADVICE_POOL_OPEN                                                                         \
    "Joining a pool that takes more jobs would never end for sure. Close or terminate it, then " \
    "join it."
#define ADVICE_NAME_TAKEN "Something of this kind has this name already. Choose another name."
#define ADVICE_JOB_CANCELLED \
    "The job was cancelled before it had a result, so there will never be one."
#define ADVICE_RESULT_EXPIRED                                                                   \
    "The job had a result, which was deleted when the time in its member `keep` was over. Ask " \
    "for a longer `keep` next time."
#define ADVICE_VERSION_MISMATCH                                                                  \
    "If-Match named a version that is no longer the current one. Read the resource again, then " \
    "repeat the change with its new ETag."
#define ADVICE_TOO_LARGE                                                                        \
    "The body or one line of it is larger than the server accepts; `GET /v1/limits` shows the " \
    "limits. Send less, or many lines instead of one body."
#define ADVICE_UNSUPPORTED_MEDIA                                                               \
    "The route does not read this Content-Type. Most want application/json; bulk routes also " \
    "read application/x-ndjson."
#define ADVICE_RANGE \
    "The header Range asks for bytes that do not exist. Content-Range says how many there are."
#define ADVICE_UNKNOWN_HOST                                                              \
    "The header Host names neither localhost, nor an address, nor a name in the option " \
    "http.hosts. This refuses DNS rebinding; add the name to the option if it is yours."
#define ADVICE_INVALID                                                                           \
    "The body was read, but a member is unknown, has the wrong type or lies outside its range, " \
    "or two of them exclude each other. The member `errors` points at each."
#define ADVICE_DEPENDENCY_CYCLE                                                                    \
    "Jobs of one request depend on each other in a circle, so none of them could ever begin. The " \
    "member `cycle` names them in order; take one of these dependencies away."
#define ADVICE_KEY_REUSED                                                                       \
    "This Idempotency-Key already belongs to a request with another body. Use a new key for a " \
    "new request."
#define ADVICE_PIPELINE_TOO_LONG                                                                \
    "All stages of a pipeline run at the same time, each on a worker of its own. Join some of " \
    "them by a shell in one stage, or run the service with more workers (pool.workers)."
#define ADVICE_QUEUE_LIMIT \
    "The queue holds as many jobs as its max_length allows. Try again after Retry-After seconds."
#define ADVICE_TOO_MANY_WAITERS                                                                \
    "Too many requests wait for something to happen. Try again after Retry-After seconds, or " \
    "follow one stream instead of many waits."
#define ADVICE_HEADERS_TOO_LARGE                                                                 \
    "The request line and header fields together exceed the connection's memory. Send fewer or " \
    "shorter ones."
#define ADVICE_INTERNAL                                                                        \
    "ganger did something it should never do. Nothing is known to be wrong with the request; " \
    "report the request_id together with the log."
#define ADVICE_OVERLOADED                                                                      \
    "A limit that protects the whole service is reached. Nothing was stored; try again after " \
    "Retry-After seconds."
#define ADVICE_DRAINING \
    "The service is about to stop and takes nothing new. Try again when it is back."
#define ADVICE_DISK_FULL                                                                        \
    "The file system of the data directory is full. Nothing was stored; free some space, then " \
    "try again."
#define ADVICE_STORAGE \
    "The database could not be used at this moment. Nothing was stored; try again."
#define ADVICE_OUTCOME_UNKNOWN                                                                     \
    "The final write failed in a way that leaves open whether it took effect. Repeat the request " \
    "with the same Idempotency-Key: it is then done once, not twice."

static const struct error_row rows[ERR_COUNT_] = {
    [ERR_NONE] = {200, "none", "No error", "There is nothing wrong."},
#define X(code, status, slug, title) [ERR_##code] = {status, slug, title, ADVICE_##code},
    ERRORS(X)
#undef X
};

static const struct error_row *row_of(enum err_code code)
{
    PRE((unsigned)code < ERR_COUNT_);
    return &rows[code];
}

/* Cutting at a fixed size must not leave half a character: the text goes into JSON, which is UTF-8.
 */
static void cut_partial_character(char *text)
{
    size_t len = strlen(text);
    size_t n_tail = 0;
    while (n_tail < 3 && n_tail < len && ((unsigned char)text[len - 1 - n_tail] & 0xC0u) == 0x80u)
        n_tail++;
    if (n_tail >= len)
        return;
    unsigned char lead = (unsigned char)text[len - 1 - n_tail];
    size_t n_wanted = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (n_tail < n_wanted)
        text[len - 1 - n_tail] = '\0';
}

static void PRINTF_LIKE(2, 0) fill_detail(struct err *err, const char *fmt, va_list args)
{
    if (vsnprintf(err->detail, sizeof(err->detail), fmt, args) >= (int)sizeof(err->detail))
        cut_partial_character(err->detail);
}

bool err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    PRE(code > ERR_NONE && code < ERR_COUNT_);
    if (err == NULL)
        return false;
    *err = (struct err){.code = code};
    va_list args;
    va_start(args, fmt);
    fill_detail(err, fmt, args);
    va_end(args);
    return false;
}

bool err_sys(struct err *err, enum err_code code, const char *fmt, ...)
{
    int sys_errno = errno;
    PRE(code > ERR_NONE && code < ERR_COUNT_);
    if (err == NULL)
        return false;
    *err = (struct err){.code = code, .sys_errno = sys_errno};
    va_list args;
    va_start(args, fmt);
    fill_detail(err, fmt, args);
    va_end(args);
    const char *text = strerrordesc_np(sys_errno);
    size_t len = strlen(err->detail);
    if (snprintf(err->detail + len, sizeof(err->detail) - len, ": %s",
                 text != NULL ? text : "unknown error") >= (int)(sizeof(err->detail) - len))
        cut_partial_character(err->detail);
    return false;
}

bool err_at(struct err *err, enum err_code code, const char *pointer, const char *fmt, ...)
{
    PRE(code > ERR_NONE && code < ERR_COUNT_);
    /* RFC 6901, section 3: no pointer begins with a question mark. */
    PRE(pointer != NULL && (pointer[0] == '\0' || pointer[0] == '/' || pointer[0] == '?'));
    if (err == NULL)
        return false;
    *err = (struct err){.code = code};
    if (snprintf(err->pointer, sizeof(err->pointer), "%s", pointer) >= (int)sizeof(err->pointer))
        cut_partial_character(err->pointer);
    va_list args;
    va_start(args, fmt);
    fill_detail(err, fmt, args);
    va_end(args);
    return false;
}

bool err_wrap(struct err *err, const char *fmt, ...)
{
    if (err == NULL)
        return false;
    PRE(err->code != ERR_NONE);
    char inner[sizeof(err->detail)];
    memcpy(inner, err->detail, sizeof(inner));
    va_list args;
    va_start(args, fmt);
    fill_detail(err, fmt, args);
    va_end(args);
    size_t len = strlen(err->detail);
    if (snprintf(err->detail + len, sizeof(err->detail) - len, ": %s", inner) >=
        (int)(sizeof(err->detail) - len))
        cut_partial_character(err->detail);
    return false;
}

int err_status(enum err_code code)
{
    return row_of(code)->status;
}

const char *err_slug(enum err_code code)
{
    return row_of(code)->slug;
}

const char *err_title(enum err_code code)
{
    return row_of(code)->title;
}

const char *err_advice(enum err_code code)
{
    return row_of(code)->advice;
}

enum err_code err_by_slug(struct slice slug)
{
    for (int i = ERR_NONE + 1; i < ERR_COUNT_; i++) {
        if (slice_is(slug, rows[i].slug))
            return (enum err_code)i;
    }
    return ERR_NONE;
}
