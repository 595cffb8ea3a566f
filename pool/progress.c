/* SPDX-License-Identifier: MIT */
#include "pool/progress.h"

#include "pool/pipe.h"
#include "service/base/text.h"

#include <errno.h>
#include <fcntl.h>

#define WORD "progress "
#define MILLION 1000000u
#define PUMP_BUDGET ((size_t)256 << 10) /* bytes of one look */

static void write_bank(struct bank *bank, const struct progress_record *record)
{
    live_write(&bank->progress.turn, bank->progress.words, record, sizeof(*record));
}

void progress_put(struct bank *bank, uint32_t ppm, struct slice text)
{
    struct progress_record record = {.ppm_plus1 = MIN(ppm, MILLION) + 1, .at_us = clock_wall_us()};
    (void)text_put_plain(record.text, sizeof(record.text), text);
    write_bank(bank, &record);
}

void progress_clear(struct bank *bank)
{
    static const struct progress_record nothing;
    write_bank(bank, &nothing);
}

uint32_t progress_turn(const struct bank *bank)
{
    return atomic_load_explicit(&bank->progress.turn, memory_order_acquire);
}

void progress_get(const struct bank *bank, struct progress *ret)
{
    struct progress_record record;

    *ret = (struct progress){0};
    if (!live_read(&bank->progress.turn, bank->progress.words, &record, sizeof(record)) ||
        record.ppm_plus1 == 0 || record.ppm_plus1 > MILLION + 1 || record.at_us <= 0)
        return;
    ret->is_known = true;
    ret->ppm = (uint32_t)record.ppm_plus1 - 1;
    ret->at_us = record.at_us;
    const size_t len = strnlen(record.text, sizeof(record.text));
    if (text_is_utf8((struct slice){record.text, len}))
        memcpy(ret->text, record.text, len);
}

/* Digits, and if there is a point, more digits: "1", "0.25". Moves `at` behind them. */
static bool read_fraction(struct slice s, size_t *at, uint32_t *ret_ppm)
{
    uint32_t ppm = 0;
    size_t i = 0;
    uint32_t unit = MILLION;

    for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++) {
        ppm = ppm * 10 + (uint32_t)(s.ptr[i] - '0') * MILLION;
        if (ppm > MILLION)
            return false;
    }
    if (i == 0)
        return false;
    if (i < s.len && s.ptr[i] == '.')
        for (i++; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++) {
            unit /= 10;
            ppm += (uint32_t)(s.ptr[i] - '0') * unit;
        }
    *at = i;
    *ret_ppm = ppm;
    return ppm <= MILLION && (i == s.len || s.ptr[i] == ' ');
}

static void read_line(struct progress_pipe *p)
{
    const size_t word_len = sizeof(WORD) - 1;
    struct slice rest = {p->line, p->used};
    size_t at = 0;
    uint32_t ppm = 0;

    if (rest.len > 0 && rest.ptr[rest.len - 1] == '\r')
        rest.len--;
    if (rest.len < word_len || memcmp(rest.ptr, WORD, word_len) != 0)
        return;
    rest = (struct slice){rest.ptr + word_len, rest.len - word_len};
    if (!read_fraction(rest, &at, &ppm))
        return;
    while (at < rest.len && rest.ptr[at] == ' ')
        at++;
    progress_put(p->bank, ppm, (struct slice){rest.ptr + at, rest.len - at});
}

/* What has come of a line; the rest of one that is too long goes nowhere. */
static void keep(struct progress_pipe *p, struct slice part)
{
    const size_t len = MIN(part.len, PROGRESS_LINE - p->used);
    if (!p->is_long)
        memcpy(p->line + p->used, part.ptr, len);
    p->used += p->is_long ? 0 : (uint32_t)len;
    p->is_long = p->is_long || len < part.len;
}

void progress_feed(struct progress_pipe *p, struct slice bytes)
{
    while (bytes.len > 0) {
        const char *end = memchr(bytes.ptr, '\n', bytes.len);
        const size_t len = end == NULL ? bytes.len : (size_t)(end - bytes.ptr);
        keep(p, (struct slice){bytes.ptr, len});
        if (end == NULL)
            return;
        read_line(p);
        p->used = 0;
        p->is_long = false;
        bytes = (struct slice){end + 1, bytes.len - len - 1};
    }
}

bool progress_open(struct progress_pipe *p, struct bank *bank)
{
    int fds[2];

    p->bank = bank;
    p->is_touched = p->is_long = false;
    p->used = 0;
    if (p->fd >= 0)
        return true;
    if (!pipe_make(fds, PIPE_READ))
        return false;
    p->fd = fds[0];
    p->task_fd = fds[1];
    return true;
}

void progress_pump(struct progress_pipe *p)
{
    char bytes[4096];
    for (size_t taken = 0; p->fd >= 0 && taken < PUMP_BUDGET;) {
        const ssize_t n = read(p->fd, bytes, sizeof(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            progress_close(p);
        if (n <= 0)
            return;
        p->is_touched = true;
        progress_feed(p, (struct slice){bytes, (size_t)n});
        /* It was less than there is room for: the pipe is empty. */
        if ((size_t)n < sizeof(bytes))
            return;
        taken += (size_t)n;
    }
}

void progress_end(struct progress_pipe *p, bool may_stay)
{
    /* The flags belong to the pipe, not to the task: the next one would find it non-blocking. */
    if (!may_stay || p->is_touched || fcntl(p->task_fd, F_GETFL) != O_WRONLY)
        progress_close(p);
}

void progress_close(struct progress_pipe *p)
{
    if (p->fd >= 0)
        (void)close(steal_fd(&p->fd));
    if (p->task_fd >= 0)
        (void)close(steal_fd(&p->task_fd));
}
