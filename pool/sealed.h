/* SPDX-License-Identifier: MIT */
/* Memory in a descriptor that is filled once and then handed to other processes, which may map it:
 * sealed, so that nobody can change the bytes under the others or cut them off. */
#ifndef GANGER_POOL_SEALED_H
#define GANGER_POOL_SEALED_H

#include "service/base/util.h"

/* Empty and not sealed yet; -1 with errno. */
MUST_CHECK int sealed_make(const char *name);
/* From now on it neither grows nor shrinks nor changes, and stays so. errno. */
MUST_CHECK bool sealed_close(int fd);
bool sealed_is_closed(int fd);

#endif
