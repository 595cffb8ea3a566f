/* SPDX-License-Identifier: MIT */
/* The functions behind the rows of the command table. Each returns the exit code of the process. */
#ifndef GANGER_CLI_COMMANDS_H
#define GANGER_CLI_COMMANDS_H

#include "cli/table.h"

command_fn command_run;  /* run.c */
command_fn command_call; /* call.c */
command_fn command_result;
command_fn command_submit;  /* submit.c */
command_fn command_map;     /* map.c */
command_fn command_pipe;    /* pipe.c */
command_fn command_wait;    /* wait.c */
command_fn command_show;    /* show.c */
command_fn command_explain; /* explain.c */
command_fn command_ps;      /* reach.c */
command_fn command_signal;
command_fn command_suspend;
command_fn command_resume;
command_fn command_feed;   /* feed.c */
command_fn command_ls;     /* list.c */
command_fn command_logs;   /* logs.c */
command_fn command_events; /* events.c */
command_fn command_cancel; /* jobs.c */
command_fn command_change;
command_fn command_retry;
command_fn command_rm;
command_fn command_batch_ls; /* batch_verbs.c */
command_fn command_batch_show;
command_fn command_batch_results;
command_fn command_batch_add;
command_fn command_batch_close;
command_fn command_batch_cancel;
command_fn command_batch_retry;
command_fn command_queue_ls; /* queues.c */
command_fn command_queue_show;
command_fn command_queue_set;
command_fn command_queue_pause;
command_fn command_queue_resume;
command_fn command_queue_purge;
command_fn command_queue_rm;
command_fn command_pool_ls; /* pools.c */
command_fn command_pool_show;
command_fn command_pool_new;
command_fn command_pool_rm;
command_fn command_pool_set;
command_fn command_pool_close;
command_fn command_pool_reopen;
command_fn command_pool_terminate;
command_fn command_pool_join;
command_fn command_workers;
command_fn command_worker_terminate;
command_fn command_top;       /* top.c */
command_fn command_functions; /* functions.c */
command_fn command_blob_put;  /* blobs.c */
command_fn command_blob_get;
command_fn command_blob_ls;
command_fn command_blob_rm;
command_fn command_health; /* service.c */
command_fn command_version;
command_fn command_completion; /* completion.c */
command_fn command_help;       /* help.c */

#endif
