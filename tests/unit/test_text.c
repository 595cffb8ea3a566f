/* SPDX-License-Identifier: MIT */
#include "service/base/text.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <time.h>

Test(text, durations)
{
    static const struct {
        const char *text;
        int64_t us; /* -1 = refused */
    } rows[] = {
        {"250ms", 250000},
        {"30s", 30000000},
        {"5m", 300000000},
        {"2h", 7200000000},
        {"7d", 604800000000},
        {"1.5", 1500000},
        {"0", 0},
        {"0.000001", 1},
        {"1.5h", 5400000000},
        {"0.5ms", 500},
        {"0.0000001", 0},
        {"1e2", 100000000},
        {"1e-5", 10},
        {"3650d", 315360000000000},
        {"3651d", -1},
        {"1e400", -1},
        {"99999999999999999999", -1},
        {"1.0000000000000000000000001", 1000000},
        {"315360000", 315360000000000},
        {"315360000.000001", -1},
        {"0e999999999999", 0},
        {"", -1},
        {"s", -1},
        {"-1", -1},
        {"+1", -1},
        {" 1", -1},
        {"1 ", -1},
        {"1 s", -1},
        {"1S", -1},
        {"1y", -1},
        {"1w", -1},
        {"5min", -1},
        {"1.", -1},
        {".5", -1},
        {"1.s", -1},
        {"1..5", -1},
        {"1.2.3", -1},
        {"1h30m", -1},
        {"1e", -1},
        {"1e+", -1},
        {"0x10", -1},
        {"inf", -1},
        {"nan", -1},
        {"1us", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t us = -1;
        bool ok = text_to_duration_us(slice_of(rows[i].text), &us);
        cr_assert_eq(ok, rows[i].us >= 0, "'%s'", rows[i].text);
        cr_assert_eq(us, rows[i].us, "'%s' gives %" PRId64, rows[i].text, us);
    }
}

Test(text, sizes)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } rows[] = {
        {"0", 0},
        {"1024", 1024},
        {"64KiB", 65536},
        {"10MiB", 10485760},
        {"1GiB", 1073741824},
        {"1TiB", 1099511627776},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", -1},
        {"8388608TiB", -1},
        {"8388607TiB", 9223370937343148032},
        {"1KB", -1},
        {"1MB", -1},
        {"1K", -1},
        {"1kib", -1},
        {"1B", -1},
        {"", -1},
        {"KiB", -1},
        {"-1", -1},
        {"1.5MiB", -1},
        {"1 MiB", -1},
        {" 1", -1},
        {"+1", -1},
        {"1e3", -1},
        {"1MiBx", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t bytes = 0;
        bool ok = text_to_bytes(slice_of(rows[i].text), &bytes);
        cr_assert_eq(ok, rows[i].bytes >= 0, "'%s'", rows[i].text);
        if (ok)
            cr_assert_eq(bytes, (uint64_t)rows[i].bytes, "'%s' gives %" PRIu64, rows[i].text,
                         bytes);
    }
}

Test(text, times_of_rfc_3339)
{
    static const struct {
        const char *text;
        int64_t us;
        bool ok;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0, true},
        {"2026-12-01T00:00:00Z", 1796083200000000, true},
        {"2026-12-01t00:00:00z", 1796083200000000, true},
        {"2026-12-01T01:00:00+01:00", 1796083200000000, true},
        {"2026-11-30T18:30:00-05:30", 1796083200000000, true},
        {"2026-12-01T00:00:00-00:00", 1796083200000000, true},
        {"2026-12-01T00:00:00.5Z", 1796083200500000, true},
        {"2026-12-01T00:00:00.123456789Z", 1796083200123456, true},
        {"1969-12-31T23:59:59.999999Z", -1, true},
        {"2024-02-29T00:00:00Z", 1709164800000000, true},
        {"2000-02-29T00:00:00Z", 951782400000000, true},
        {"0000-01-01T00:00:00Z", -62167219200000000, true},
        {"9999-12-31T23:59:59.999999Z", 253402300799999999, true},
        {"2016-12-31T23:59:60Z", 1483228800000000, true},
        {"2023-02-29T00:00:00Z", 0, false},
        {"1900-02-29T00:00:00Z", 0, false},
        {"2026-00-01T00:00:00Z", 0, false},
        {"2026-13-01T00:00:00Z", 0, false},
        {"2026-04-31T00:00:00Z", 0, false},
        {"2026-04-00T00:00:00Z", 0, false},
        {"2026-04-01T24:00:00Z", 0, false},
        {"2026-04-01T23:60:00Z", 0, false},
        {"2026-04-01T23:59:61Z", 0, false},
        {"2026-04-01T23:59:59", 0, false},
        {"2026-04-01T23:59:59+0100", 0, false},
        {"2026-04-01T23:59:59+24:00", 0, false},
        {"2026-04-01T23:59:59+01:60", 0, false},
        {"2026-04-01T23:59:59.Z", 0, false},
        {"2026-04-01T23:59:59.1234567890Z", 0, false},
        {"2026-04-01T23:59:59Zx", 0, false},
        {"2026-04-01 23:59:59Z", 0, false},
        {"2026-04-01", 0, false},
        {"20260401T000000Z", 0, false},
        {"+2026-04-01T00:00:00Z", 0, false},
        {"12026-04-01T00:00:00Z", 0, false},
        {"2026-4-1T00:00:00Z", 0, false},
        {"", 0, false},
        {"now", 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t us = 77;
        cr_assert_eq(text_to_time_us(slice_of(rows[i].text), &us), rows[i].ok, "'%s'",
                     rows[i].text);
        cr_assert_eq(us, rows[i].ok ? rows[i].us : 77, "'%s' gives %" PRId64, rows[i].text, us);
    }
}

/* A day about every eleven days over ten thousand years, against the C library's calendar. */
Test(text, times_agree_with_the_c_library_and_round_trip)
{
    for (int64_t seconds = -62167219200; seconds <= 253402300799; seconds += 950401) {
        char ours[28], theirs[64];
        time_t t = (time_t)seconds;
        struct tm tm;
        cr_assert_not_null(gmtime_r(&t, &tm));
        (void)snprintf(theirs, sizeof(theirs), "%04d-%02d-%02dT%02d:%02d:%02d.000042Z",
                       (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100, tm.tm_mday % 100,
                       tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100);
        int64_t us = seconds * 1000000 + 42, back = 0;
        text_from_time_us(us, ours);
        cr_assert_str_eq(ours, theirs);
        cr_assert(text_to_time_us(slice_of(ours), &back));
        cr_assert_eq(back, us);
    }
}

Test(text, integers)
{
    static const struct {
        const char *text;
        int64_t value;
        bool ok;
    } rows[] = {
        {"0", 0, true},
        {"-0", 0, true},
        {"42", 42, true},
        {"-42", -42, true},
        {"007", 7, true},
        {"9223372036854775807", INT64_MAX, true},
        {"-9223372036854775808", INT64_MIN, true},
        {"9223372036854775808", 0, false},
        {"-9223372036854775809", 0, false},
        {"99999999999999999999", 0, false},
        {"", 0, false},
        {"-", 0, false},
        {"+1", 0, false},
        {" 1", 0, false},
        {"1 ", 0, false},
        {"1.0", 0, false},
        {"0x1", 0, false},
        {"1e3", 0, false},
        {"--1", 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value = 0;
        cr_assert_eq(text_to_i64(slice_of(rows[i].text), &value), rows[i].ok, "'%s'", rows[i].text);
        cr_assert_eq(value, rows[i].value, "'%s'", rows[i].text);
    }
}

Test(text, signals_by_name)
{
    for (int signal = 1; signal < 32; signal++) {
        const char *name = text_signal_name(signal);
        cr_assert_eq(strncmp(name, "SIG", 3), 0, "signal %d has a name", signal);
        cr_assert_neq(name[3], '?', "signal %d has a name", signal);
        cr_assert_eq(text_to_signal(slice_of(name)), signal, "%s", name);
        cr_assert_eq(text_to_signal(slice_of(name + 3)), signal, "%s", name);
        cr_assert_str_eq(name + 3, sigabbrev_np(signal) == NULL || signal == SIGIO
                                       ? name + 3
                                       : sigabbrev_np(signal));
    }
    cr_assert_eq(text_to_signal(SLICE_LIT("term")), SIGTERM);
    cr_assert_eq(text_to_signal(SLICE_LIT("sigKill")), SIGKILL);
    static const char *const unknown[] = {"",   "SIG",   "SIGFOO",     "TER",   "TERMX",
                                          "15", "RTMIN", "SIGRTMIN+1", " TERM", "SIGSIGTERM"};
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
        cr_assert_eq(text_to_signal(slice_of(unknown[i])), 0, "'%s'", unknown[i]);
    cr_assert_str_eq(text_signal_name(0), "SIG?");
    cr_assert_str_eq(text_signal_name(-3), "SIG?");
    cr_assert_str_eq(text_signal_name(64), "SIG?");
}

Test(job_id, known_value)
{
    struct job_id id = {
        .ms = 0x0199ABCDEF01, .no = (0xABCLL << 30) | 0x12345678, .salt = 0xDEADBEEF};
    char text[37];
    job_id_format(&id, text);
    cr_assert_str_eq(text, "0199abcd-ef01-7abc-9234-5678deadbeef");
}

Test(job_id, round_trip_and_order)
{
    static const struct job_id ids[] = {
        {0, 1, 0},
        {0, 2, 0xFFFFFFFF},
        {1, 1, 0},
        {1, (1LL << 30) - 1, 5},
        {1, 1LL << 30, 4},
        {1, (1LL << 42) - 1, 3},
        {0x0199ABCDEF01, 1, 0xFFFFFFFF},
        {(1ULL << 48) - 1, (1LL << 42) - 1, 0xFFFFFFFF},
    };
    char before[37] = "";
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        char text[37];
        struct job_id back = {0};
        job_id_format(&ids[i], text);
        cr_assert(job_id_parse(slice_of(text), &back), "%s", text);
        cr_assert_eq(back.ms, ids[i].ms);
        cr_assert_eq(back.no, ids[i].no);
        cr_assert_eq(back.salt, ids[i].salt);
        cr_assert_lt(strcmp(before, text), 0, "%s comes after %s", text, before);
        memcpy(before, text, sizeof(before));
    }
}

Test(job_id, other_texts_are_refused)
{
    static const char *const wrong[] = {
        "",
        "0199abcd-ef01-7abc-9234-5678deadbee",
        "0199abcd-ef01-7abc-9234-5678deadbeeff",
        "0199ABCD-ef01-7abc-9234-5678deadbeef",
        "0199abcd-ef01-4abc-9234-5678deadbeef",
        "0199abcd-ef01-7abc-1234-5678deadbeef",
        "0199abcd-ef01-7abc-d234-5678deadbeef",
        "0199abcdef017abc92345678deadbeef0000",
        "0199abcd-ef01-7abc-9234_5678deadbeef",
        "0199abcd-ef01-7abc-9234-5678deadbeeg",
        "0199abcd-ef01-7000-8000-0000deadbeef",
        "{199abcd-ef01-7abc-9234-5678deadbee}",
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct job_id id;
        cr_assert_not(job_id_parse(slice_of(wrong[i]), &id), "%s", wrong[i]);
    }
}

/* The one-pass decoder against the definition in RFC 3629: all code points, and all sequences of
 * two bytes. */
Test(text, utf8_all_code_points)
{
    for (uint32_t code = 0; code <= 0x110000; code++) {
        char text[4];
        size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
        for (size_t i = len; i-- > 1;)
            text[i] = (char)(0x80 | (code >> (6 * (len - 1 - i)) & 0x3F));
        text[0] = (char)(lead[len] | (code >> (6 * (len - 1))));
        uint32_t back = 0;
        bool valid = code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
        cr_assert_eq(text_utf8_step(text, len, &back), valid ? len : 0, "U+%04X", code);
        if (valid)
            cr_assert_eq(back, code);
        if (len > 1)
            cr_assert_eq(text_utf8_step(text, len - 1, &back), 0, "U+%04X cut", code);
    }
    cr_assert(text_is_utf8(slice_of("aé€😀")));
    cr_assert(text_is_utf8(slice_of("")));
    cr_assert_not(text_is_utf8(SLICE_LIT("a\xC0\x80")));
    cr_assert_not(text_is_utf8(SLICE_LIT("\xE0\x80\x80")));
    cr_assert_not(text_is_utf8(SLICE_LIT("\xF0\x80\x80\x80")));
    cr_assert_not(text_is_utf8(SLICE_LIT("\x80")));
    cr_assert_not(text_is_utf8(SLICE_LIT("\xC3(")));
}

static void expect_plain(const char *text, size_t max, const char *wanted)
{
    char out[16] = "";
    const size_t len = text_put_plain(out, max, slice_of(text));
    cr_assert_eq(len, strlen(wanted), "%s", text);
    cr_assert_str_eq(out, wanted);
}

Test(text, plain)
{
    expect_plain("a\tb\x7f\x1b", 8, "a b  ");
    expect_plain("\xff"
                 "a\xc3",
                 8, "?a?");
    expect_plain("a\xe2\x82\xac", 4, "a\xe2\x82\xac");
    expect_plain("a\xe2\x82\xac", 3, "a");
    expect_plain("", 8, "");
}

Test(text, tokens)
{
    cr_assert(text_is_token(SLICE_LIT("a"), 1));
    cr_assert(text_is_token(SLICE_LIT("Az09_.-"), 7));
    cr_assert_not(text_is_token(SLICE_LIT("Az09_.-"), 6));
    static const char *const wrong[] = {"",     "a b", "a/b", "é", "a\n", "a:b",
                                        "\x7f", "@",   "[",   "`", "{"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        cr_assert_not(text_is_token(slice_of(wrong[i]), 100), "'%s'", wrong[i]);
}

Test(text, secrets_compare_whole)
{
    cr_assert(text_equal_secret("abcd", "abcd", 4));
    cr_assert(text_equal_secret("abcd", "xxxx", 0));
    for (size_t i = 0; i < 4; i++) {
        char other[] = "abcd";
        other[i] ^= 1;
        cr_assert_not(text_equal_secret("abcd", other, 4), "byte %zu", i);
    }
}
