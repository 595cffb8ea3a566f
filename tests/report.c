/* SPDX-License-Identifier: MIT */
/* Linked into every Criterion executable. Criterion's own closing line hides skipped tests, and a
 * filter that matches nothing exits 0; so this hook names what was skipped, sums up in one line,
 * and fails a run that skipped or tested nothing. GANGER_ALLOW_SKIPS=1 lets skips pass, for
 * machines that cannot run everything; they are named all the same. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A test switched off in its definition is the author's decision; one that skips itself while
 * running is a finding. */
static bool test_skipped_itself(const struct criterion_suite *suite,
                                const struct criterion_test_stats *stats)
{
    bool disabled = (suite->data != NULL && suite->data->disabled) ||
                    (stats->test->data != NULL && stats->test->data->disabled);
    return stats->test_status == CR_STATUS_SKIPPED && !disabled;
}

static size_t skipped_print(const struct criterion_global_stats *stats)
{
    size_t count = 0;

    for (struct criterion_suite_stats *suite = stats->suites; suite != NULL; suite = suite->next) {
        for (struct criterion_test_stats *test = suite->tests; test != NULL; test = test->next) {
            if (!test_skipped_itself(suite->suite, test))
                continue;
            count++;
            fprintf(stderr, "skipped: %s/%s: %s\n", suite->suite->name, test->test->name,
                    test->message == NULL ? "no reason given" : test->message);
        }
    }
    return count;
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    size_t skipped = skipped_print(stats);
    const char *allowed = getenv("GANGER_ALLOW_SKIPS");
    const char *wrong = NULL;

    if (stats->tests_passed + stats->tests_failed + skipped == 0)
        wrong = "no test ran";
    else if (skipped > 0 && (allowed == NULL || strcmp(allowed, "1") != 0))
        wrong = "skipped tests count as failures without GANGER_ALLOW_SKIPS=1";

    fprintf(stderr, "result: %zu passed, %zu failed, %zu skipped%s%s\n", stats->tests_passed,
            stats->tests_failed, skipped, wrong == NULL ? "" : "; ", wrong == NULL ? "" : wrong);
    /* The exit status is made from this counter, after the hooks. */
    if (wrong != NULL)
        stats->tests_failed++;
}
