/* SPDX-License-Identifier: MIT */
#include "service/base/metrics.h"

#include <math.h>

struct metric_row {
    const char *name, *help;
};

static const struct metric_row counter_rows[COUNTER_COUNT] = {
#define X(id, metric, help) [COUNT_##id] = {metric, help},
    COUNTERS(X)
#undef X
};

static const struct metric_row histogram_rows[HISTOGRAM_COUNT] = {
#define X(id, metric, help) [HIST_##id] = {metric, help},
    HISTOGRAMS(X)
#undef X
};

/* Upper bounds, inclusive, as Prometheus' `le` wants. */
static const int64_t bounds_us[] = {
    100,     250,     1000,     2500,     10000,    25000,     100000,    250000,
    1000000, 2500000, 10000000, 30000000, 60000000, 300000000, 900000000, 3600000000,
};
_Static_assert(ARRAY_LEN(bounds_us) == HISTOGRAM_BUCKETS, "one bound per bucket");

void metrics_observe_us(struct metrics *m, enum histogram h, uint64_t us)
{
    PRE((unsigned)h < HISTOGRAM_COUNT);
    size_t i = 0;
    while (i < HISTOGRAM_BUCKETS && us > (uint64_t)bounds_us[i])
        i++;
    atomic_fetch_add_explicit(&m->histograms[h].bucket[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->histograms[h].sum_us, us, memory_order_relaxed);
}

static void write_head(struct buf *out, const struct metric_row *row, const char *type)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name, type);
}

static void write_count(struct buf *out, uint64_t value)
{
    buf_putc(out, ' ');
    buf_put_i64(out, (int64_t)(value & INT64_MAX));
    buf_putc(out, '\n');
}

static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void write_histogram(const struct metrics *m, enum histogram h, struct buf *out)
{
    const struct metric_row *row = &histogram_rows[h];
    write_head(out, row, "histogram");
    uint64_t total = 0;
    for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++) {
        total += load(&m->histograms[h].bucket[i]); /* buckets are cumulative on the wire */
        buf_printf(out, "%s_bucket{le=\"", row->name);
        if (i < HISTOGRAM_BUCKETS)
            buf_json_seconds_us(out, bounds_us[i]);
        else
            buf_puts(out, "+Inf");
        buf_puts(out, "\"}");
        write_count(out, total);
    }
    buf_printf(out, "%s_sum ", row->name);
    buf_json_seconds_us(out, (int64_t)(load(&m->histograms[h].sum_us) & INT64_MAX));
    buf_printf(out, "\n%s_count", row->name);
    write_count(out, total); /* not counted apart: it must equal the +Inf bucket of this very answer
                              */
}

double metrics_mean_us(const struct metrics *m, enum histogram h)
{
    uint64_t total = 0;
    for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++)
        total += load(&m->histograms[h].bucket[i]);
    return total == 0 ? -1 : (double)load(&m->histograms[h].sum_us) / (double)total;
}

void metrics_write(const struct metrics *m, struct buf *out)
{
    for (int i = 0; i < COUNTER_COUNT; i++) {
        write_head(out, &counter_rows[i], "counter");
        buf_puts(out, counter_rows[i].name);
        write_count(out, load(&m->counters[i]));
    }
    static const struct metric_row finished = {"ganger_jobs_finished_total",
                                               "Jobs that reached an end, by state."};
    write_head(out, &finished, "counter");
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        if (!job_state_is_end((enum job_state)i))
            continue;
        buf_printf(out, "%s{state=\"%s\"}", finished.name, job_state_name((enum job_state)i));
        write_count(out, load(&m->finished[i]));
    }
    static const struct metric_row tries = {"ganger_callback_tries_total",
                                            "Callbacks that were made, by outcome."};
    write_head(out, &tries, "counter");
    for (int i = 0; i < TRY_OUTCOME_COUNT; i++) {
        buf_printf(out, "%s{outcome=\"%s\"}", tries.name, try_outcome_name((enum try_outcome)i));
        write_count(out, load(&m->callback_tries[i]));
    }
    for (int i = 0; i < HISTOGRAM_COUNT; i++)
        write_histogram(m, (enum histogram)i, out);
}

static void write_double(struct buf *out, double value)
{
    if (isnan(value))
        buf_puts(out, "NaN");
    else if (isinf(value))
        buf_puts(out, value < 0 ? "-Inf" : "+Inf");
    else if (value >= -9007199254740992.0 && value <= 9007199254740992.0 &&
             value == (double)(int64_t)value)
        buf_put_i64(out, (int64_t)value); /* whole numbers up to 2^53 are exact */
    else
        buf_printf(out, "%.17g", value);
}

void metrics_write_gauge(struct buf *out, const char *name, const char *help, const char *labels,
                         double value)
{
    if (help != NULL)
        write_head(out, &(struct metric_row){name, help}, "gauge");
    buf_puts(out, name);
    if (labels != NULL)
        buf_printf(out, "{%s}", labels);
    buf_putc(out, ' ');
    write_double(out, value);
    buf_putc(out, '\n');
}
