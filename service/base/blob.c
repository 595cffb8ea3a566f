/* SPDX-License-Identifier: MIT */
#include "service/base/blob.h"

#include "service/base/hex.h"

#include <inttypes.h>

#define NAME_DIGITS 16u

uint64_t blob_random_file(void)
{
    uint64_t file = 0;

    while (file == 0) {
        random_bytes(&file, sizeof(file));
        file &= INT64_MAX;
    }
    return file;
}

void blob_path(uint64_t file, char out[BLOB_PATH_SIZE])
{
    (void)snprintf(out, BLOB_PATH_SIZE, BLOB_DIR "/%016" PRIx64, file);
}

bool blob_parse_name(const char *name, uint64_t *ret_file)
{
    if (strlen(name) != NAME_DIGITS || strspn(name, HEX_DIGITS) != NAME_DIGITS)
        return false;
    *ret_file = strtoull(name, NULL, 16);
    return true;
}

bool blob_total_allows(uint64_t stored, uint64_t more, uint64_t max_total, struct err *err)
{
    return (more <= max_total && stored <= max_total - more) ||
           err_set(err, ERR_OVERLOADED,
                   "All blobs together may have %" PRIu64 " bytes (the option blobs.max_total); "
                   "delete some, or keep them for a shorter time",
                   max_total);
}

static bool is_part(struct slice part)
{
    return part.len > 0 && !slice_is(part, ".") && !slice_is(part, "..");
}

bool blob_is_output_name(struct slice name)
{
    size_t from = 0;

    if (name.len == 0 || name.len > MAX_OUTPUT_NAME || !text_is_utf8(name))
        return false;
    for (size_t i = 0; i <= name.len; i++) {
        const unsigned char c = i < name.len ? (unsigned char)name.ptr[i] : '/';
        if (c < 0x20 || c == 0x7F)
            return false;
        if (c != '/')
            continue;
        if (!is_part((struct slice){name.ptr + from, i - from}))
            return false;
        from = i + 1;
    }
    return true;
}
