/* SPDX-License-Identifier: MIT */
/* Blobs, on the read side. */
#include "service/query_impl.h"
#include "storage/blobs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

bool query_blob(struct query *query, const struct job_id *id, struct arena *a, struct blob *ret,
                struct err *err)
{
    return reader_blob(query->reader, id, a, ret, err);
}

bool query_blob_id(struct query *query, int64_t no, struct job_id *ret, struct err *err)
{
    return reader_blob_id(query->reader, no, ret, err);
}

bool query_blobs(struct query *query, struct arena *a, struct blob_page *page, struct err *err)
{
    return reader_blobs(query->reader, a, page, err);
}

bool query_blob_open(struct query *query, const struct blob *blob, int *ret_fd, struct err *err)
{
    char path[BLOB_PATH_SIZE];
    struct stat st;
    blob_path(blob->file, path);
    AUTO_CLOSE int fd = openat(query->data_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, ERR_STORAGE, "open the file of the blob");
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != blob->bytes)
        return err_set(err, ERR_STORAGE, "The file of the blob is damaged");
    *ret_fd = steal_fd(&fd);
    return true;
}
