/* SPDX-License-Identifier: MIT */
#include "pool/progress.h"

#include "service/base/text.h"

#include <errno.h>
#include <fcntl.h>

#define WORD "progress "
#define MILLION 1000000u
#define PUMP_BUDGET ((size_t)256 << 10) /* bytes of one look */
#define MAX_LOOKS 100 /* a writer needs far less than a microsecond; a dead one never ends */

/* Ready to be put into JSON. Returns its length. */
static size_t clean_text(struct slice text, char out[PROGRESS_TEXT])
{
    size_t used = 0;
    for (size_t at = 0; at < text.len;) {
        uint32_t code = 0;
        size_t step = text_utf8_step(text.ptr + at, text.len - at, &code);
        const char *from = text.ptr + at;
        if (step == 0)
            from = "?";
        else if (code < 0x20 || code == 0x7f)
            from = " ";
        at += MAX(step, (size_t)1);
        step = MAX(step, (size_t)1);
        if (used + step > PROGRESS_TEXT)
            break;
        memcpy(out + used, from, step);
        used += step;
    }
    return used;
}

/* Every member is written after the odd turn and read before the second look at the turn (release
 * and acquire on each), so a reader that has seen one of them sees that the turn has moved on. */
static void write_bank(struct bank_progress *p, uint32_t ppm_plus1,
                       const uint64_t words[PROGRESS_TEXT / 8])
{
    const uint32_t odd = atomic_load_explicit(&p->turn, memory_order_relaxed) | 1u;
    atomic_store_explicit(&p->turn, odd, memory_order_relaxed);
    atomic_store_explicit(&p->ppm_plus1, ppm_plus1, memory_order_release);
    atomic_store_explicit(&p->at_us, clock_wall_us(), memory_order_release);
    for (size_t i = 0; i < ARRAY_LEN(p->text); i++)
        atomic_store_explicit(&p->text[i], words[i], memory_order_release);
    /* Before the look at `listened` that follows, in the order of all threads: a reader sets that
     * and then looks here, so one of the two sees the other. */
    atomic_store(&p->turn, odd + 1);
}

void progress_put(struct bank *bank, uint32_t ppm, struct slice text)
{
    union {
        char text[PROGRESS_TEXT];
        uint64_t words[PROGRESS_TEXT / 8];
    } u = {{0}};
    (void)clean_text(text, u.text);
    write_bank(&bank->progress, MIN(ppm, MILLION) + 1, u.words);
}

void progress_clear(struct bank *bank)
{
    static const uint64_t nothing[PROGRESS_TEXT / 8];
    write_bank(&bank->progress, 0, nothing);
}

uint32_t progress_turn(const struct bank *bank)
{
    return atomic_load_explicit(&bank->progress.turn, memory_order_acquire);
}

static bool look(const struct bank_progress *p, struct progress *ret)
{
    union {
        char text[PROGRESS_TEXT];
        uint64_t words[PROGRESS_TEXT / 8];
    } u;
    const uint32_t turn = atomic_load(&p->turn);
    const uint32_t ppm_plus1 = atomic_load_explicit(&p->ppm_plus1, memory_order_acquire);
    const int64_t at_us = atomic_load_explicit(&p->at_us, memory_order_acquire);
    for (size_t i = 0; i < ARRAY_LEN(p->text); i++)
        u.words[i] = atomic_load_explicit(&p->text[i], memory_order_acquire);
    if ((turn & 1u) != 0 || atomic_load_explicit(&p->turn, memory_order_relaxed) != turn)
        return false;
    *ret = (struct progress){.is_known = ppm_plus1 > 0 && ppm_plus1 <= MILLION + 1 && at_us > 0,
                             .ppm = ppm_plus1 - 1,
                             .at_us = at_us};
    const size_t len = strnlen(u.text, sizeof(u.text));
    if (ret->is_known && text_is_utf8((struct slice){u.text, len}))
        memcpy(ret->text, u.text, len);
    return true;
}

void progress_get(const struct bank *bank, struct progress *ret)
{
    for (int i = 0; i < MAX_LOOKS; i++)
        if (look(&bank->progress, ret))
            return;
    *ret = (struct progress){0};
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
    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    p->fd = fds[0];
    p->task_fd = fds[1];
    return fcntl(p->fd, F_SETFL, O_NONBLOCK) == 0;
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
    progress_pump(p);
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
