/* SPDX-License-Identifier: MIT */
#include "pool/title.h"

#include "service/base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>

/* The kernel shows the memory between arg_start and arg_end (fields 48 and 49 of /proc/PID/stat,
 * proc(5)). */
static bool find_arguments(char **ret_start, size_t *ret_size)
{
    char text[1024];
    AUTO_CLOSE int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 48; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return false;
    char *next;
    const unsigned long start = strtoul(at, &next, 10);
    const unsigned long end = strtoul(next, NULL, 10);
    if (start == 0 || end <= start || end - start > (1UL << 20))
        return false;
    *ret_start = (char *)start; /* NOLINT(performance-no-int-to-ptr) */
    *ret_size = end - start;
    return true;
}

void title_set(const char *title, const char *comm)
{
    char *start;
    size_t size;

    (void)prctl(PR_SET_NAME, comm);
    /* Without CAP_SYS_RESOURCE the fields read as 0; then the command line stays. */
    if (!find_arguments(&start, &size))
        return;
    memset(start, 0, size);
    (void)snprintf(start, size, "%s", title);
}
