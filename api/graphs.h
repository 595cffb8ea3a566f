/* SPDX-License-Identifier: MIT */
/* Graphs: POST /v1/batches with "jobs". */
#ifndef GANGER_API_GRAPHS_H
#define GANGER_API_GRAPHS_H

#include "api/request.h"

/* False: the body is no graph, and nothing was done. Else it ends with a reply or with a command on
 * its way. */
bool graph_create(struct request *rq);

#endif
