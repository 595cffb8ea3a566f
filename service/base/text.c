/* SPDX-License-Identifier: MIT */
#include "service/base/text.h"

#include "service/base/hex.h"

#include <signal.h>
#include <strings.h>

__extension__ typedef unsigned __int128 u128;

#define US_PER_SECOND 1000000LL
#define SECONDS_PER_DAY 86400LL
#define MAX_DURATION_US (3650LL * SECONDS_PER_DAY * US_PER_SECOND) /* ten years of 365 days */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A decimal number as mantissa × 10^exponent. Digits that do not fit the mantissa are cut. */
struct decimal {
    uint64_t mantissa;
    int32_t exponent;
};

#define MAX_EXPONENT 1000

static size_t read_exponent(struct slice s, size_t at, int32_t *exponent)
{
    size_t i = at + 1;
    bool negative = i < s.len && s.ptr[i] == '-';
    if (i < s.len && (s.ptr[i] == '-' || s.ptr[i] == '+'))
        i++;
    size_t first = i;
    int32_t value = 0;
    for (; i < s.len && is_digit(s.ptr[i]); i++)
        value = MIN(value * 10 + (s.ptr[i] - '0'), MAX_EXPONENT);
    if (i == first)
        return at;
    *exponent += negative ? -value : value;
    return i;
}

/* Reads digits[.digits][e±digits] at the start of s; returns how many bytes that took, 0 when there
 * is no number. */
static size_t read_decimal(struct slice s, struct decimal *ret)
{
    struct decimal d = {0, 0};
    size_t i = 0, n_digits = 0;
    bool fraction = false;
    for (; i < s.len && (is_digit(s.ptr[i]) || (s.ptr[i] == '.' && !fraction && i > 0)); i++) {
        if (s.ptr[i] == '.') {
            fraction = true;
            n_digits = 0; /* a point wants a digit behind it */
            continue;
        }
        n_digits++;
        if (d.mantissa < UINT64_MAX / 10 - 1) {
            d.mantissa = d.mantissa * 10 + (uint64_t)(s.ptr[i] - '0');
            d.exponent -= fraction;
        } else {
            d.exponent += !fraction;
        }
        if (i > MAX_EXPONENT)
            return 0;
    }
    if (n_digits == 0)
        return 0;
    if (i < s.len && (s.ptr[i] == 'e' || s.ptr[i] == 'E'))
        i = read_exponent(s, i, &d.exponent);
    *ret = d;
    return i;
}

bool text_to_duration_us(struct slice s, int64_t *ret_us)
{
    static const struct {
        const char *name;
        uint64_t us;
    } units[] = {
        {"", 1000000},        {"ms", 1000},       {"s", 1000000},
        {"m", 60u * 1000000}, {"h", 3600000000u}, {"d", 86400000000u},
    };
    struct decimal d = {0, 0};
    size_t used = read_decimal(s, &d);
    if (used == 0)
        return false;
    struct slice unit = {s.ptr + used, s.len - used};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!slice_is(unit, units[i].name))
            continue;
        u128 us = (u128)d.mantissa * units[i].us; /* < 2^64 × 2^37 */
        for (; d.exponent < 0 && us > 0; d.exponent++)
            us /= 10;
        for (; d.exponent > 0 && us > 0 && us <= MAX_DURATION_US; d.exponent--)
            us *= 10;
        if (us > MAX_DURATION_US)
            return false;
        *ret_us = (int64_t)us;
        return true;
    }
    return false;
}

bool text_to_i64(struct slice s, int64_t *ret)
{
    bool negative = s.len > 0 && s.ptr[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == s.len)
        return false;
    int64_t value = 0; /* kept negative: INT64_MIN has no positive twin */
    for (; i < s.len; i++) {
        if (!is_digit(s.ptr[i]) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, s.ptr[i] - '0', &value))
            return false;
    }
    if (!negative && value == INT64_MIN)
        return false;
    *ret = negative ? value : -value;
    return true;
}

bool text_to_bytes(struct slice s, uint64_t *ret)
{
    static const struct {
        const char *name;
        unsigned shift;
    } units[] = {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
    size_t n_digits = 0;
    while (n_digits < s.len && is_digit(s.ptr[n_digits]))
        n_digits++;
    int64_t number = 0;
    if (!text_to_i64((struct slice){s.ptr, n_digits}, &number))
        return false;
    struct slice unit = {s.ptr + n_digits, s.len - n_digits};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!slice_is(unit, units[i].name))
            continue;
        if (number > INT64_MAX >> units[i].shift) /* the store keeps sizes as int64 */
            return false;
        *ret = (uint64_t)number << units[i].shift;
        return true;
    }
    return false;
}

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar. Years are counted from
 * March, so that the leap day is the last of its year, in eras of 400 years = 146,097 days. */
static int64_t days_of_date(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static bool read_fixed(const char **at, const char *end, int n_digits, int64_t *ret)
{
    int64_t value = 0;
    for (int i = 0; i < n_digits; i++, (*at)++) {
        if (*at == end || !is_digit(**at))
            return false;
        value = value * 10 + (**at - '0');
    }
    *ret = value;
    return true;
}

static bool read_char(const char **at, const char *end, const char *any_of)
{
    if (*at == end || **at == '\0' || strchr(any_of, **at) == NULL)
        return false;
    (*at)++;
    return true;
}

static bool read_date(const char **at, const char *end, int64_t *ret_days)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year = 0, month = 0, day = 0;
    if (!read_fixed(at, end, 4, &year) || !read_char(at, end, "-") ||
        !read_fixed(at, end, 2, &month) || !read_char(at, end, "-") ||
        !read_fixed(at, end, 2, &day))
        return false;
    if (month < 1 || month > 12)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day < 1 || day > month_days[month - 1] + (leap && month == 2))
        return false;
    *ret_days = days_of_date(year, month, day);
    return true;
}

/* Microseconds of the day; a leap second (60) is the first moment of the next minute, as POSIX
 * counts. */
static bool read_clock(const char **at, const char *end, int64_t *ret_us)
{
    int64_t hour = 0, minute = 0, second = 0, fraction_ns = 0;
    if (!read_fixed(at, end, 2, &hour) || !read_char(at, end, ":") ||
        !read_fixed(at, end, 2, &minute) || !read_char(at, end, ":") ||
        !read_fixed(at, end, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 60)
        return false;
    if (*at < end && **at == '.') {
        const char *first = ++*at;
        int64_t scale = 100000000;
        for (; *at < end && is_digit(**at) && scale > 0; (*at)++, scale /= 10)
            fraction_ns += (**at - '0') * scale;
        if (*at == first)
            return false;
    }
    *ret_us = (hour * 3600 + minute * 60 + second) * US_PER_SECOND + fraction_ns / 1000;
    return true;
}

static bool read_offset(const char **at, const char *end, int64_t *ret_us)
{
    *ret_us = 0;
    if (read_char(at, end, "Zz"))
        return true;
    bool negative = *at < end && **at == '-';
    int64_t hour = 0, minute = 0;
    if (!read_char(at, end, "+-") || !read_fixed(at, end, 2, &hour) || !read_char(at, end, ":") ||
        !read_fixed(at, end, 2, &minute) || hour > 23 || minute > 59)
        return false;
    int64_t us = (hour * 3600 + minute * 60) * US_PER_SECOND;
    *ret_us = negative ? -us : us;
    return true;
}

bool text_to_time_us(struct slice s, int64_t *ret_us)
{
    const char *at = s.ptr, *end = s.ptr + s.len;
    int64_t days = 0, clock_us = 0, offset_us = 0;
    if (!read_date(&at, end, &days) || !read_char(&at, end, "Tt") ||
        !read_clock(&at, end, &clock_us) || !read_offset(&at, end, &offset_us) || at != end)
        return false;
    *ret_us = days * SECONDS_PER_DAY * US_PER_SECOND + clock_us - offset_us;
    return true;
}

/* clang-format off */
static const char digit_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";
/* clang-format on */

/* Writes v so that it ends before `end`; returns its first byte. 20 bytes hold any value. */
static char *digits_before(char *end, uint64_t v)
{
    while (v >= 100) {
        end -= 2;
        memcpy(end, digit_pairs + (v % 100) * 2, 2);
        v /= 100;
    }
    if (v >= 10) {
        end -= 2;
        memcpy(end, digit_pairs + v * 2, 2);
        return end;
    }
    *--end = (char)('0' + v);
    return end;
}

size_t text_from_i64(int64_t v, char out[21])
{
    char text[21], *end = text + sizeof(text);
    char *at = digits_before(end, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
    if (v < 0)
        *--at = '-';
    const size_t len = (size_t)(end - at);
    memcpy(out, at, len);
    out[len] = '\0';
    return len;
}

static void put_digits(char *out, int n_digits, uint64_t value)
{
    for (int i = n_digits - 1; i >= 0; i--, value /= 10)
        out[i] = (char)('0' + value % 10);
}

void text_from_time_us(int64_t us, char out[28])
{
    const int64_t first = -62167219200LL * US_PER_SECOND;         /* 0000-01-01 */
    const int64_t last = 253402300799LL * US_PER_SECOND + 999999; /* 9999-12-31 */
    us = MIN(MAX(us, first), last);
    uint64_t since = (uint64_t)(us - first); /* never negative: plain division serves */
    uint64_t us_of_day = since % (uint64_t)(SECONDS_PER_DAY * US_PER_SECOND);
    /* Days since 0000-03-01, one era earlier so that January and February of year 0 stay positive.
     */
    uint64_t days = since / (uint64_t)(SECONDS_PER_DAY * US_PER_SECOND) + 146097 - 60;
    uint64_t era = days / 146097, day_of_era = days % 146097;
    uint64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
                            day_of_era / 146096) /
                           365;
    uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t month_from_march = (5 * day_of_year + 2) / 153;
    uint64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    uint64_t seconds = us_of_day / (uint64_t)US_PER_SECOND;
    memcpy(out, "0000-00-00T00:00:00.000000Z", 28);
    put_digits(out, 4, year_of_era + era * 400 - 400 + (month <= 2));
    put_digits(out + 5, 2, month);
    put_digits(out + 8, 2, day_of_year - (153 * month_from_march + 2) / 5 + 1);
    put_digits(out + 11, 2, seconds / 3600);
    put_digits(out + 14, 2, seconds / 60 % 60);
    put_digits(out + 17, 2, seconds % 60);
    put_digits(out + 20, 6, us_of_day % (uint64_t)US_PER_SECOND);
}

/* clang-format off */
static const char *const signal_names[] = {
    [SIGHUP]  = "SIGHUP",  [SIGINT]  = "SIGINT",  [SIGQUIT] = "SIGQUIT", [SIGILL]    = "SIGILL",
    [SIGTRAP] = "SIGTRAP", [SIGABRT] = "SIGABRT", [SIGBUS]  = "SIGBUS",  [SIGFPE]    = "SIGFPE",
    [SIGKILL] = "SIGKILL", [SIGUSR1] = "SIGUSR1", [SIGSEGV] = "SIGSEGV", [SIGUSR2]   = "SIGUSR2",
    [SIGPIPE] = "SIGPIPE", [SIGALRM] = "SIGALRM", [SIGTERM] = "SIGTERM", [SIGSTKFLT] = "SIGSTKFLT",
    [SIGCHLD] = "SIGCHLD", [SIGCONT] = "SIGCONT", [SIGSTOP] = "SIGSTOP", [SIGTSTP]   = "SIGTSTP",
    [SIGTTIN] = "SIGTTIN", [SIGTTOU] = "SIGTTOU", [SIGURG]  = "SIGURG",  [SIGXCPU]   = "SIGXCPU",
    [SIGXFSZ] = "SIGXFSZ", [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF",
    [SIGWINCH] = "SIGWINCH", [SIGIO]   = "SIGIO",   [SIGPWR]  = "SIGPWR",  [SIGSYS]  = "SIGSYS",
};
/* clang-format on */

int text_to_signal(struct slice s)
{
    if (s.len > 3 && strncasecmp(s.ptr, "SIG", 3) == 0)
        s = (struct slice){s.ptr + 3, s.len - 3};
    for (size_t i = 1; i < ARRAY_LEN(signal_names); i++) {
        const char *name = signal_names[i] + 3;
        if (strlen(name) == s.len && strncasecmp(s.ptr, name, s.len) == 0)
            return (int)i;
    }
    return 0;
}

const char *text_signal_name(int signal)
{
    if (signal < 1 || signal >= (int)ARRAY_LEN(signal_names))
        return "SIG?";
    return signal_names[signal];
}

/* The UUID as two halves: ms, version and the upper 12 bits of the number; variant, its lower 30
 * bits and the salt. */
#define NO_BITS_LOW 30
#define NO_MAX ((1LL << 42) - 1)

void job_id_format(const struct job_id *id, char out[37])
{
    PRE(id->ms < 1ULL << 48);
    PRE(id->no >= 1 && id->no <= NO_MAX);
    uint64_t no = (uint64_t)id->no;
    uint64_t high = id->ms << 16 | 7u << 12 | no >> NO_BITS_LOW;
    uint64_t low = 2ULL << 62 | (no & ((1u << NO_BITS_LOW) - 1)) << 32 | id->salt;
    hex_put_number(out, high >> 32, 8);
    hex_put_number(out + 9, high >> 16, 4);
    hex_put_number(out + 14, high, 4);
    hex_put_number(out + 19, low >> 48, 4);
    hex_put_number(out + 24, low, 12);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[36] = '\0';
}

bool job_id_parse(struct slice s, struct job_id *ret)
{
    if (s.len != 36)
        return false;
    uint64_t half[2] = {0, 0};
    int n_digits = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (c != '-')
                return false;
            continue;
        }
        if (!is_digit(c) && !(c >= 'a' && c <= 'f'))
            return false;
        unsigned value = (unsigned)(is_digit(c) ? c - '0' : c - 'a' + 10);
        half[n_digits / 16] = half[n_digits / 16] << 4 | value;
        n_digits++;
    }
    if ((half[0] >> 12 & 15) != 7 || half[1] >> 62 != 2)
        return false;
    uint64_t no = (half[0] & 0xFFF) << NO_BITS_LOW | (half[1] >> 32 & ((1u << NO_BITS_LOW) - 1));
    if (no == 0)
        return false;
    *ret = (struct job_id){.ms = half[0] >> 16, .no = (int64_t)no, .salt = (uint32_t)half[1]};
    return true;
}

size_t text_utf8_step(const char *p, size_t left, uint32_t *ret_code)
{
    const unsigned char *u = (const unsigned char *)p;
    if (u[0] < 0x80) {
        *ret_code = u[0];
        return 1;
    }
    size_t len = u[0] >= 0xF0 ? 4 : u[0] >= 0xE0 ? 3 : 2;
    if (u[0] < 0xC2 || u[0] > 0xF4 || len > left)
        return 0;
    uint32_t code = u[0] & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((u[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (u[i] & 0x3Fu);
    }
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < smallest[len] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return 0;
    *ret_code = code;
    return len;
}

size_t text_put_plain(char *out, size_t max, struct slice s)
{
    size_t used = 0;
    for (size_t at = 0, step; at < s.len; at += step) {
        uint32_t code = 0;
        const char *from = s.ptr + at;
        step = text_utf8_step(from, s.len - at, &code);
        if (step == 0)
            from = "?";
        else if (code < 0x20 || code == 0x7f)
            from = " ";
        step = MAX(step, (size_t)1);
        if (used + step > max)
            break;
        memcpy(out + used, from, step);
        used += step;
    }
    return used;
}

bool text_is_utf8(struct slice s)
{
    uint32_t code = 0;
    for (size_t i = 0, step = 0; i < s.len; i += step) {
        step = text_utf8_step(s.ptr + i, s.len - i, &code);
        if (step == 0)
            return false;
    }
    return true;
}

bool text_is_file_name(struct slice s)
{
    if (s.len == 0 || s.len > 255 || slice_is(s, ".") || slice_is(s, ".."))
        return false;
    return memchr(s.ptr, '/', s.len) == NULL && memchr(s.ptr, '\0', s.len) == NULL;
}

bool text_is_token(struct slice s, size_t max_len)
{
    if (s.len == 0 || s.len > max_len)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !is_digit(c) && c != '_' && c != '.' && c != '-')
            return false;
    }
    return true;
}

bool text_equal_secret(const void *a, const void *b, size_t len)
{
    const volatile unsigned char *x = a, *y = b; /* volatile: the loop must not be cut short */
    unsigned char difference = 0;
    for (size_t i = 0; i < len; i++)
        difference |= (unsigned char)(x[i] ^ y[i]);
    return difference == 0;
}
