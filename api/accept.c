/* SPDX-License-Identifier: MIT */
#include "api/accept.h"

#include <strings.h>

/* How closely a media range fits a type. */
enum fit { FITS_NOT, FITS_ANY, FITS_KIND, FITS_EXACTLY };

static struct slice trim(struct slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = (struct slice){s.ptr + 1, s.len - 1};
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* What is before the separator; the rest, behind it, stays in `s`. */
static struct slice cut(struct slice *s, char separator)
{
    const char *at = memchr(s->ptr, separator, s->len);
    const struct slice first = {s->ptr, at == NULL ? s->len : (size_t)(at - s->ptr)};
    const size_t used = first.len + (at != NULL);
    *s = (struct slice){s->ptr + used, s->len - used};
    return trim(first);
}

/* "q=0", "q=0.000"; every other weight takes it. */
static bool is_refusal(struct slice parameter)
{
    if (parameter.len < 3 || (parameter.ptr[0] | 0x20) != 'q' || parameter.ptr[1] != '=')
        return false;
    for (size_t i = 2; i < parameter.len; i++)
        if (parameter.ptr[i] != '0' && parameter.ptr[i] != '.')
            return false;
    return true;
}

static enum fit fit_of(struct slice range, const char *type)
{
    const size_t len = strcspn(type, ";"), kind = strcspn(type, "/") + 1;
    if (slice_is(range, "*/*"))
        return FITS_ANY;
    if (range.len == len && strncasecmp(range.ptr, type, len) == 0)
        return FITS_EXACTLY;
    return range.len == kind + 1 && strncasecmp(range.ptr, type, kind) == 0 &&
                   range.ptr[kind] == '*'
               ? FITS_KIND
               : FITS_NOT;
}

/* The closest range; *ret_refused is what its weight says. */
static enum fit look(struct slice header, const char *type, bool *ret_refused)
{
    enum fit best = FITS_NOT;
    *ret_refused = false;
    while (header.len > 0) {
        struct slice rest = cut(&header, ',');
        const enum fit fit = fit_of(cut(&rest, ';'), type);
        bool refused = false;
        while (rest.len > 0)
            refused |= is_refusal(cut(&rest, ';'));
        if (fit <= best)
            continue;
        best = fit;
        *ret_refused = refused;
    }
    return best;
}

bool accept_takes(struct slice header, const char *type)
{
    bool refused;
    if (header.len == 0)
        return true;
    return look(header, type, &refused) != FITS_NOT && !refused;
}

bool accept_names(struct slice header, const char *type)
{
    bool refused;
    return header.len > 0 && look(header, type, &refused) == FITS_EXACTLY && !refused;
}
