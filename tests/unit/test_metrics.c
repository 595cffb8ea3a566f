/* SPDX-License-Identifier: MIT */
#include "service/base/metrics.h"

#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>

static char *print_metrics(const struct metrics *m)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    metrics_write(m, &out);
    char *text = buf_steal(&out);
    cr_assert_not_null(text);
    buf_release(&out);
    return text;
}

Test(metrics, every_row_is_printed_with_its_value)
{
    static struct metrics m;
    for (int i = 0; i < COUNTER_COUNT; i++)
        metrics_add(&m, (enum counter)i, (uint64_t)i + 1000);
    AUTO_FREE char *text = print_metrics(&m);
    char line[200];
#define X(id, metric, help)                                                                      \
    (void)snprintf(line, sizeof(line), "# HELP %s %s\n# TYPE %s counter\n%s %d\n", metric, help, \
                   metric, metric, COUNT_##id + 1000);                                           \
    cr_assert_not_null(strstr(text, line), "%s", line);
    COUNTERS(X)
#undef X
#define X(id, metric, help)                                                           \
    cr_assert_not_null(strstr(text, "\n" metric "_bucket{le=\"+Inf\"} 0\n"), metric); \
    cr_assert_not_null(strstr(text, "# TYPE " metric " histogram\n"), metric);
    HISTOGRAMS(X)
#undef X
}

Test(metrics, finished_jobs_by_end_state)
{
    static struct metrics m;
    atomic_store(&m.finished[JOB_SUCCEEDED], 5);
    atomic_store(&m.finished[JOB_FAILED], 6);
    AUTO_FREE char *text = print_metrics(&m);
    cr_assert_not_null(strstr(text, "\nganger_jobs_finished_total{state=\"succeeded\"} 5\n"));
    cr_assert_not_null(strstr(text, "\nganger_jobs_finished_total{state=\"failed\"} 6\n"));
    cr_assert_not_null(strstr(text, "\nganger_jobs_finished_total{state=\"cancelled\"} 0\n"));
    cr_assert_null(strstr(text, "state=\"running\""));
}

Test(metrics, histograms_are_cumulative)
{
    static struct metrics m;
    static const uint64_t observed_us[] = {0,          100,        101,       1000000,
                                           3600000000, 3600000001, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_LEN(observed_us); i++)
        metrics_observe_us(&m, HIST_RUN_TIME, observed_us[i]);
    AUTO_FREE char *text = print_metrics(&m);
    static const char *const lines[] = {
        "ganger_job_run_seconds_bucket{le=\"0.0001\"} 2\n",
        "ganger_job_run_seconds_bucket{le=\"0.00025\"} 3\n",
        "ganger_job_run_seconds_bucket{le=\"0.25\"} 3\n",
        "ganger_job_run_seconds_bucket{le=\"1\"} 4\n",
        "ganger_job_run_seconds_bucket{le=\"900\"} 4\n",
        "ganger_job_run_seconds_bucket{le=\"3600\"} 5\n",
        "ganger_job_run_seconds_bucket{le=\"+Inf\"} 7\n",
        "ganger_job_run_seconds_count 7\n",
        "ganger_job_run_seconds_sum 11495.967497\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        cr_assert_not_null(strstr(text, lines[i]), "%s", lines[i]);
}

/* Text exposition 0.0.4: each line is a comment or `name[{labels}] value`; HELP and TYPE come once
 * per name. */
Test(metrics, exposition_is_well_formed)
{
    static struct metrics m;
    AUTO_FREE char *text = print_metrics(&m);
    cr_assert_eq(text[strlen(text) - 1], '\n');
    for (char *line = text, *stop = NULL; *line != '\0'; line = stop + 1) {
        stop = strchr(line, '\n');
        *stop = '\0';
        if (line[0] == '#') {
            cr_assert(strncmp(line, "# HELP ganger_", 14) == 0 ||
                          strncmp(line, "# TYPE ganger_", 14) == 0,
                      "%s", line);
            continue;
        }
        size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyz_");
        cr_assert_eq(strncmp(line, "ganger_", 7), 0, "%s", line);
        const char *value = line[name] == '{' ? strstr(line, "\"} ") : line + name - 2;
        cr_assert_not_null(value, "%s", line);
        cr_assert_eq(value[2], ' ', "%s", line);
        char *end = NULL;
        (void)strtod(value + 3, &end);
        cr_assert(end != value + 3 && *end == '\0', "%s", line);
    }
}

Test(metrics, gauges)
{
    static const struct {
        double value;
        const char *text;
    } rows[] = {{0, "g 0\n"},
                {1.5, "g 1.5\n"},
                {-3, "g -3\n"},
                {1e15, "g 1000000000000000\n"},
                {NAN, "g NaN\n"},
                {INFINITY, "g +Inf\n"},
                {-INFINITY, "g -Inf\n"},
                {1e300, "g 1.0000000000000001e+300\n"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_BUF struct buf out;
        buf_init(&out, 1000);
        metrics_write_gauge(&out, "g", NULL, NULL, rows[i].value);
        cr_assert(slice_is(buf_slice(&out), rows[i].text), "%.*s", (int)out.len, out.ptr);
    }
    AUTO_BUF struct buf out;
    buf_init(&out, 1000);
    metrics_write_gauge(&out, "ganger_jobs", "Jobs by state.", "state=\"queued\"", 3);
    metrics_write_gauge(&out, "ganger_jobs", NULL, "state=\"running\"", 1);
    cr_assert(slice_is(buf_slice(&out),
                       "# HELP ganger_jobs Jobs by state.\n# TYPE ganger_jobs gauge\n"
                       "ganger_jobs{state=\"queued\"} 3\nganger_jobs{state=\"running\"} 1\n"));
}

static void *count_a_lot(void *arg)
{
    struct metrics *m = arg;
    for (int i = 0; i < 50000; i++) {
        metrics_add(m, COUNT_WAKEUPS, 1);
        metrics_observe_us(m, HIST_HTTP_TIME, 200);
    }
    return NULL;
}

Test(metrics, threads_lose_no_count)
{
    static struct metrics m;
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, count_a_lot, &m), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_assert_eq(atomic_load(&m.counters[COUNT_WAKEUPS]), 200000);
    cr_assert_eq(atomic_load(&m.histograms[HIST_HTTP_TIME].bucket[1]), 200000);
    cr_assert_eq(atomic_load(&m.histograms[HIST_HTTP_TIME].sum_us), 40000000);
}

Test(metrics, the_mean_of_nothing_is_not_known)
{
    struct metrics m = {0};
    double mean;

    cr_assert_lt(metrics_mean_us(&m, HIST_RUN_TIME), 0);
    metrics_observe_us(&m, HIST_RUN_TIME, 100);
    metrics_observe_us(&m, HIST_RUN_TIME, 300000);
    mean = metrics_mean_us(&m, HIST_RUN_TIME);
    cr_assert(mean > 150049 && mean < 150051, "%f", mean);
}
