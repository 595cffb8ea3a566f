/* SPDX-License-Identifier: MIT */
/* The rows of the table of commands. */
#include "cli/commands.h"

#define ANY_NUMBER (-1)

#define JOB_CODE                                                                           \
    "The exit code is the job's: its own when it ended by itself, 128+N after signal N,\n" \
    "124 when a time limit ended it, 126 or 127 when its command could not be started,\n"  \
    "125 when ganger failed.\n"

/* clang-format off */
const struct command commands[] = {
    {IN_SERVE, "serve", NULL, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "Start the service.",
     "Options and configuration: ganger serve --help, or docs/configuration.md.\n",
     "  ganger serve\n"
     "  ganger serve --data /srv/ganger --listen 127.0.0.1:0 --workers 4\n"},

    {IN_RUN, "run", command_run, "[OPTION…] [--] COMMAND [ARGUMENT…]", OPERAND_COMMAND, 1, ANY_NUMBER,
     true,
     "Submit a command, show its output live, end with its exit code.",
     "The command is a job like any other: durable once accepted, run by a worker of the\n"
     "service in a directory of its own and with a clean environment (--cwd, --env).\n"
     "Its stdout and stderr arrive on the same descriptors here. Standard input is sent\n"
     "along when it is not a terminal (up to 1 MiB; --no-stdin to keep it).\n"
     "Ctrl-C ends only this client, at once: the job goes on, and a line says how to\n"
     "follow or cancel it. A restart of the server is waited out for a minute.\n" JOB_CODE,
     "  ganger run -- date\n"
     "  echo hello | ganger run -- tr a-z A-Z\n"
     "  ganger run --timeout 5m --env LANG -- make -C /srv/project\n"},

    {IN_CALL, "call", command_call, "[OPTION…] [--] FUNCTION [ARGUMENT…]", OPERAND_CALL, 1, ANY_NUMBER,
     true,
     "Call a registered function, print its result, end with its exit code.",
     "An argument that is JSON is given as what it is, 30 as a number and null as nothing; any\n"
     "other is a string. --strings takes all as strings, --args and --kwargs take JSON.\n"
     "The job is durable once accepted, as with run; Ctrl-C ends only this client. The result\n"
     "goes to stdout; JSON gets a line break. What the function writes to stderr appears here\n"
     "while it runs; what it prints to stdout beside its result: ganger logs.\n" JOB_CODE
     "A function that reports an error is 1.\n",
     "  ganger call fib 30\n"
     "  ganger call --timeout 5s --kwarg size=64x64 thumb in.png out.webp\n"
     "  ganger call --args '[\"in.png\"]' --kwargs '{\"size\":\"64x64\"}' thumb\n"},

    {IN_SUBMIT, "submit", command_submit, "[OPTION…] [--] COMMAND [ARGUMENT…]", OPERAND_COMMAND,
     0, ANY_NUMBER, false,
     "Submit a command and print the id of its job.",
     "When the id is printed the job is on disk. With --wait it then waits for the end and\n"
     "takes the job's exit code (see: ganger help wait). Every submission carries an\n"
     "Idempotency-Key, so that trying again never makes a second job.\n"
     "--from reads one job per line, each a JSON object as POST /v1/jobs takes it, and\n"
     "prints one id per line; lines that are refused are named on stderr, and the exit\n"
     "code is then 1. With --function the words are the arguments of that function.\n",
     "  ganger submit --queue media --retries 3 -- convert in.png out.webp\n"
     "  ganger submit --depends-on $id --stdin-from $id -- sort\n"
     "  id=$(ganger submit -- sleep 60)\n"
     "  ganger submit --function fib 30\n"
     "  ganger submit --from jobs.ndjson\n"},

    {IN_MAP, "map", command_map, "[OPTION…] [--] COMMAND [ARGUMENT…] [::: ITEM… | :::: FILE…]…",
     OPERAND_COMMAND, 0, ANY_NUMBER, true,
     "Run a command once for each item, on all workers, as GNU parallel does.",
     "Items follow ::: or are the lines of files after ::::, of --arg-file, or of stdin. In\n"
     "the command {} is the item, {index} its number from 0 and {#} from 1; without any of\n"
     "these the item becomes the last argument. Several ::: make all combinations: {1} is\n"
     "of the first list, {2} of the second. No shell is involved; to have one:\n"
     "sh -c 'SCRIPT' sh {}.\n"
     "With --function each item is the first argument of that function, and words before the\n"
     "items follow it; several lists are several arguments. What is JSON is given as such.\n"
     "The jobs are one batch. Each one's stdout and stderr are printed whole when it has\n"
     "ended. Any number of items is sent while the first ones run already, with bounded\n"
     "memory; a restart of the server is waited out for a minute, and no item is lost or\n"
     "run twice by that. Ctrl-C ends only this client and says how to go on; with --halt it\n"
     "cancels the batch.\n"
     "The exit code is the number of jobs that did not succeed, 101 for more than 100, or\n"
     "with --halt, once that has happened, the code of the job that caused it; 125 when\n"
     "ganger failed.\n",
     "  ganger map echo {} ::: a b c\n"
     "  find . -name '*.log' | ganger map --bar --cwd . -- gzip -9 {}\n"
     "  ganger map -k --joblog log -- convert {1}.png {1}.{2} ::: cat dog ::: gif webp\n"
     "  ganger map -k --function fib ::: 25 26 27\n"},

    {IN_PIPE, "pipe", command_pipe, "[OPTION…] [--] COMMAND [ARGUMENT…] [::: COMMAND [ARGUMENT…]]…",
     OPERAND_COMMAND, 1, ANY_NUMBER, true,
     "Run commands that are joined by pipes, each as a job of its own.",
     "Stages are separated by ::: and start together, on a worker each; the stdout of each is\n"
     "the stdin of the next, through a pipe of the kernel. The output of the last one appears\n"
     "here while it is written. --stdin is the standard input of the first one. The exit code\n"
     "is that of the last stage that failed, as with pipefail.\n",
     "  ganger pipe -- seq 10 ::: sort -rn ::: head -n 3\n"
     "  ganger pipe --stdin names.txt -- sort ::: uniq -c\n"},

    {IN_WAIT, "wait", command_wait, "[OPTION…] ID…", OPERAND_ID, 1, ANY_NUMBER, true,
     "Wait until jobs or batches have ended.",
     JOB_CODE
     "That of a batch is 0 when all its jobs succeeded, else 1. With several ids it waits for\n"
     "all; the code is that of the first one, in the order given, that did not succeed. With\n"
     "--any and --first-error the ids of those that have ended are printed, and the code is\n"
     "made from those. Time running out (--timeout) is 124, and the jobs go on.\n",
     "  ganger wait 01990b6e-…\n"
     "  ganger wait --any $a $b\n"
     "  ganger wait --timeout 30s $(ganger ls -q --label batch=7)\n"},

    {IN_SHOW, "show", command_show, "[OPTION…] ID…", OPERAND_ID, 1, ANY_NUMBER, false,
     "Show all facts about jobs.",
     "With --json each job is one line, as the service sent it.\n",
     "  ganger show 01990b6e-…\n"
     "  ganger show --json 01990b6e-… | jq .usage\n"},

    {IN_RESULT, "result", command_result, "[OPTION…] ID", OPERAND_ID, 1, 1, true,
     "Wait for a job and print its result.",
     "The result of a function is what it has returned, that of a command its stdout; JSON gets\n"
     "a line break. Nothing goes to stdout when the job did not succeed. It is kept for a time\n"
     "(--keep of the submission), and can be asked for any number of times.\n" JOB_CODE
     "Time running out (--timeout) is 124, and the job goes on.\n",
     "  id=$(ganger submit --function fib 30)\n"
     "  ganger result $id\n"},

    {IN_EXPLAIN, "explain", command_explain, "[OPTION…] ID…", OPERAND_ID, 1, ANY_NUMBER, false,
     "Say why a job has not begun yet.",
     "",
     "  ganger explain 01990b6e-…\n"},

    {IN_PS, "ps", command_ps, "[OPTION…] ID…", OPERAND_ID, 1, ANY_NUMBER, false,
     "Show the processes of running jobs.",
     "Each below its parent; those that a job has left behind stand beside its first one. With\n"
     "--json each job is one line.\n",
     "  ganger ps 01990b6e-…\n"},

    {IN_LS, "ls", command_ls, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "List jobs, newest first.",
     "With --json each job is one line. -q and --plain print ids only.\n",
     "  ganger ls --state running\n"
     "  ganger ls --queue media --label tenant=a --limit 100\n"},

    {IN_LOGS, "logs", command_logs, "[OPTION…] ID", OPERAND_ID, 1, 1, false,
     "Print what a job has written.",
     "The job's stdout goes to stdout and its stderr to stderr. --stdout or --stderr picks\n"
     "one of them, which then goes to stdout. Terminal escape sequences are removed when\n"
     "the target is a terminal, unless --raw is given.\n",
     "  ganger logs -f 01990b6e-…\n"
     "  ganger logs --stderr 01990b6e-… > errors.txt\n"},

    {IN_EVENTS, "events", command_events, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "Follow what happens to jobs, one line per change.",
     "Goes on until Ctrl-C, also over a restart of the server. With --after it begins with\n"
     "what came after that event. With --json each line is the event's data.\n",
     "  ganger events --queue media\n"
     "  ganger events --json --state failed | jq .id\n"},

    {IN_CANCEL, "cancel", command_cancel, "[OPTION…] [ID…]", OPERAND_ID, 0, ANY_NUMBER, false,
     "End jobs, with every process they have started.",
     "With ids it returns when they are over, and the exit code is 1 when one of them was\n"
     "not cancelled, because it had ended before or because of --if-queued. With --state,\n"
     "--queue, --name, --label, --batch or --created-after it ends all jobs that match,\n"
     "without waiting for their ends; --yes is needed off a terminal.\n",
     "  ganger cancel 01990b6e-…\n"
     "  ganger cancel --signal INT --grace 30s 01990b6e-…\n"
     "  ganger cancel --queue media --state queued --yes\n"},

    {IN_SIGNAL, "signal", command_signal, "[OPTION…] --signal NAME ID…", OPERAND_ID, 1, ANY_NUMBER, false,
     "Send a signal to running jobs.",
     "To the group of a job's first process, or with --tree to every process of the job. A job\n"
     "that is ended by it has failed, reason signal; see cancel for ending one.\n",
     "  ganger signal --signal USR1 01990b6e-…\n"
     "  ganger signal --signal HUP --tree 01990b6e-…\n"},

    {IN_SUSPEND, "suspend", command_suspend, "[OPTION…] ID…", OPERAND_ID, 1, ANY_NUMBER, false,
     "Let all processes of running jobs stand still.",
     "A suspended job keeps its worker and its memory, and its time limits run on.\n",
     "  ganger suspend 01990b6e-…\n"},

    {IN_RESUME, "resume", command_resume, "[OPTION…] ID…", OPERAND_ID, 1, ANY_NUMBER, false,
     "Let suspended jobs go on.",
     "",
     "  ganger resume 01990b6e-…\n"},

    {IN_FEED, "feed", command_feed, "[OPTION…] ID", OPERAND_ID, 1, 1, false,
     "Give standard input to a running job, as it comes.",
     "For a job that was submitted with --stdin-open. Bytes are taken as fast as the job reads\n"
     "them. At the end of the input the job's ends too, unless --keep-open is given. When the\n"
     "connection breaks it fails, rather than give something twice.\n",
     "  id=$(ganger submit --stdin-open -- sort)\n"
     "  ls | ganger feed $id\n"},

    {IN_CHANGE, "change", command_change, "OPTION… ID…", OPERAND_ID, 1, ANY_NUMBER, false,
     "Change jobs that have not begun.",
     "What is not named stays as it is; labels that are given replace all that a job has. A job\n"
     "that runs or has ended is refused. Defaults that are named below are those of a new job.\n",
     "  ganger change --priority 50 01990b6e-…\n"
     "  ganger change --queue slow --delay 1h $(ganger ls -q --state queued --label kind=nightly)\n"},

    {IN_RETRY, "retry", command_retry, "[OPTION…] [ID…]", OPERAND_ID, 0, ANY_NUMBER, false,
     "Run finished jobs once more.",
     "Each gets one attempt more. With selectors instead of ids it takes all finished jobs\n"
     "that match; --state is then needed, or a batch.\n",
     "  ganger retry 01990b6e-…\n"
     "  ganger retry --state failed --queue media\n"},

    {IN_RM, "rm", command_rm, "[OPTION…] [ID…]", OPERAND_ID, 0, ANY_NUMBER, false,
     "Forget finished jobs and their output.",
     "A job that has not ended is refused: cancel it first. With selectors it forgets the\n"
     "finished ones that match; --yes is needed off a terminal.\n",
     "  ganger rm $(ganger ls -q --state succeeded)\n"
     "  ganger rm --label kind=nightly --dry-run\n"},

    {IN_BATCH_LS, "batch ls", command_batch_ls, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "List batches, newest first.",
     "With --json each batch is one line.\n",
     "  ganger batch ls\n"},

    {IN_BATCH_SHOW, "batch show", command_batch_show, "[OPTION…] ID…", OPERAND_BATCH, 1, ANY_NUMBER, false,
     "Show all facts about batches.",
     "With --json each batch is one line, as the service sent it.\n",
     "  ganger batch show 01990b6e-…\n"},

    {IN_BATCH_RESULTS, "batch results", command_batch_results, "[OPTION…] ID", OPERAND_BATCH, 1, 1, false,
     "Print what the jobs of a batch have written.",
     "In the order of their ends, or of the items (--keep-order): stdout to stdout, stderr to\n"
     "stderr, each job's whole. Those that have ended so far, or with --follow all of them.\n"
     "With --json each job is one line with its index, id, state, and value or error.\n",
     "  ganger batch results --follow 01990b6e-…\n"
     "  ganger batch results -k --json 01990b6e-… | jq .value\n"},

    {IN_BATCH_ADD, "batch add", command_batch_add, "[OPTION…] ID [ITEM…]", OPERAND_BATCH, 1, ANY_NUMBER, false,
     "Give items to an open batch.",
     "Without items after the id they are the lines of --arg-file or of stdin.\n",
     "  ganger batch add 01990b6e-… d e f\n"},

    {IN_BATCH_CLOSE, "batch close", command_batch_close, "[OPTION…] ID…", OPERAND_BATCH, 1, ANY_NUMBER, false,
     "Say that no more items come.",
     "A batch ends when it is closed and its jobs have ended.\n",
     "  ganger batch close 01990b6e-…\n"},

    {IN_BATCH_CANCEL, "batch cancel", command_batch_cancel, "[OPTION…] ID…", OPERAND_BATCH, 1, ANY_NUMBER, false,
     "End what is left of a batch, or some of its jobs.",
     "Returns when it is accepted; ganger wait waits for the end.\n",
     "  ganger batch cancel 01990b6e-…\n"
     "  ganger batch cancel --indexes 1-3,9 01990b6e-…\n"},

    {IN_BATCH_RETRY, "batch retry", command_batch_retry, "[OPTION…] ID…", OPERAND_BATCH, 1, ANY_NUMBER, false,
     "Run the failed jobs of a batch once more, or those of --indexes.",
     "",
     "  ganger batch retry 01990b6e-…\n"},

    {IN_QUEUE_LS, "queue ls", command_queue_ls, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "List queues.",
     "With --json each queue is one line.\n",
     "  ganger queue ls\n"},

    {IN_QUEUE_SHOW, "queue show", command_queue_show, "[OPTION…] QUEUE…", OPERAND_QUEUE, 1, ANY_NUMBER, false,
     "Show all facts about queues.",
     "",
     "  ganger queue show media\n"},

    {IN_QUEUE_SET, "queue set", command_queue_set, "[OPTION…] QUEUE", OPERAND_QUEUE, 1, 1, false,
     "Set limits of a queue.",
     "What is not named stays as it is.\n",
     "  ganger queue set --concurrency 2 --rate 10/1s media\n"
     "  ganger queue set --defaults '{\"timeout\":\"5m\"}' media\n"},

    {IN_QUEUE_PAUSE, "queue pause", command_queue_pause, "[OPTION…] QUEUE…", OPERAND_QUEUE, 1, ANY_NUMBER, false,
     "Let no more jobs of a queue begin.",
     "Those that run go on; submissions are accepted and wait.\n",
     "  ganger queue pause media\n"},

    {IN_QUEUE_RESUME, "queue resume", command_queue_resume, "[OPTION…] QUEUE…", OPERAND_QUEUE, 1, ANY_NUMBER,
     false,
     "Let jobs of a paused queue begin again.",
     "",
     "  ganger queue resume media\n"},

    {IN_QUEUE_PURGE, "queue purge", command_queue_purge, "[OPTION…] QUEUE…", OPERAND_QUEUE, 1, ANY_NUMBER, false,
     "Cancel all waiting jobs of a queue.",
     "--yes is needed off a terminal.\n",
     "  ganger queue purge --yes media\n"},

    {IN_QUEUE_RM, "queue rm", command_queue_rm, "[OPTION…] QUEUE…", OPERAND_QUEUE, 1, ANY_NUMBER, false,
     "Forget the limits of a queue.",
     "--yes is needed off a terminal.\n",
     "  ganger queue rm --yes media\n"},

    {IN_FUNCTIONS, "functions", command_functions, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "List what can be called.",
     "Registered functions of the configuration, with their arguments: [name] may be left out,\n"
     "… takes whatever it gets. With --json each function is one line.\n",
     "  ganger functions\n"},

    {IN_POOL_LS, "pool ls", command_pool_ls, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "List pools of workers.",
     "With --json each pool is one line.\n",
     "  ganger pool ls\n"},

    {IN_POOL_NEW, "pool new", command_pool_new, "[OPTION…] POOL", OPERAND_POOL, 1, 1, false,
     "Make a pool with workers and a queue of its own.",
     "Jobs that name it, or its queue, which has its name, are run by its workers. --size is\n"
     "needed.\n",
     "  ganger pool new --size 2 media && ganger submit --queue media -- true\n"},

    {IN_POOL_SHOW, "pool show", command_pool_show, "[OPTION…] [POOL]", OPERAND_POOL, 0, 1, false,
     "Show size, state and settings of the pool of workers.",
     "",
     "  ganger pool show\n"},

    {IN_POOL_SET, "pool set", command_pool_set, "[OPTION…] [POOL]", OPERAND_POOL, 0, 1, false,
     "Change the pool while it runs.",
     "What is not named stays as it is. It lasts over restarts, until the configuration of the\n"
     "pool is another one.\n",
     "  ganger pool set --size 8\n"
     "  ganger pool set --min 1 --idle 5m --max-jobs 1000\n"},

    {IN_POOL_CLOSE, "pool close", command_pool_close, "[OPTION…] [POOL]", OPERAND_POOL, 0, 1, false,
     "Take no more jobs; those that were accepted run.",
     "",
     "  ganger pool close && ganger pool join\n"},

    {IN_POOL_REOPEN, "pool reopen", command_pool_reopen, "[OPTION…] [POOL]", OPERAND_POOL, 0, 1, false,
     "Take jobs again; a broken pool tries at once to start workers.",
     "",
     "  ganger pool reopen\n"},

    {IN_POOL_TERMINATE, "pool terminate", command_pool_terminate, "[OPTION…] [POOL]", OPERAND_POOL, 0, 1, false,
     "Stop every running job, cancel every waiting one, end the workers.",
     "--yes is needed off a terminal.\n",
     "  ganger pool terminate --yes --signal KILL\n"},

    {IN_POOL_JOIN, "pool join", command_pool_join, "[OPTION…] [POOL]", OPERAND_POOL, 0, 1, false,
     "Wait until a closed or terminated pool has nothing left to run.",
     "",
     "  ganger pool join --timeout 10m\n"},

    {IN_POOL_RM, "pool rm", command_pool_rm, "[OPTION…] POOL", OPERAND_POOL, 1, 1, false,
     "Forget a pool whose jobs have ended.",
     "",
     "  ganger pool rm media\n"},

    {IN_WORKERS, "workers", command_workers, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "List the worker processes and what they run.",
     "With --json each worker is one line.\n",
     "  ganger workers\n"},

    {IN_WORKER_TERMINATE, "worker terminate", command_worker_terminate, "[OPTION…] WORKER…", OPERAND_WORKER,
     1, ANY_NUMBER, false,
     "Replace workers; what they run is killed.",
     "Its job fails with a signal, or is retried by its policy. --signal and --grace let it end\n"
     "first.\n",
     "  ganger worker terminate worker-3\n"},

    {IN_TOP, "top", command_top, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "Watch pool, workers, queues and rates.",
     "On a terminal it is drawn anew each second until q. Elsewhere, and with --once, it is\n"
     "printed once.\n",
     "  ganger top\n"
     "  ganger top --once\n"},

    {IN_BLOB_PUT, "blob put", command_blob_put, "[OPTION…] [FILE…]", OPERAND_WORD, 0, ANY_NUMBER, false,
     "Keep files with the service; print the id of each.",
     "Without a file, or for -, it is stdin. Any size is sent as it is read. When the id is\n"
     "printed the bytes are on disk.\n",
     "  id=$(ganger blob put model.bin)\n"
     "  ganger run --input model.bin=$id -- ./predict model.bin\n"},

    {IN_BLOB_GET, "blob get", command_blob_get, "[OPTION…] ID…", OPERAND_BLOB, 1, ANY_NUMBER, false,
     "Write the bytes of blobs to stdout.",
     "A connection that breaks off is taken up where it ended.\n",
     "  ganger blob get 01990b6e-… >model.bin\n"},

    {IN_BLOB_LS, "blob ls", command_blob_ls, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "List blobs, newest first.",
     "With --json each blob is one line.\n",
     "  ganger blob ls\n"},

    {IN_BLOB_RM, "blob rm", command_blob_rm, "[OPTION…] ID…", OPERAND_BLOB, 1, ANY_NUMBER, false,
     "Forget blobs.",
     "One that a job needs which has not ended is refused.\n",
     "  ganger blob rm $(ganger blob ls -q --limit 1000)\n"},

    {IN_HEALTH, "health", command_health, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "Ask whether the service takes work; exit code 0 or 1.",
     "Needs no token. Made for HEALTHCHECK of a container and for scripts.\n",
     "  ganger health && echo ready\n"},

    {IN_VERSION, "version", command_version, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "Print the version of this program and of the service.",
     "A service that does not answer is no failure here.\n",
     "  ganger version --json\n"},

    {IN_COMPLETION, "completion", command_completion, "bash", OPERAND_WORD, 1, 1, false,
     "Print a completion script for a shell.",
     "Put the line below into ~/.bashrc, or the script into\n"
     "/usr/share/bash-completion/completions/ganger.\n",
     "  eval \"$(ganger completion bash)\"\n"},

    {IN_HELP, "help", command_help, "[COMMAND]", OPERAND_WORD, 0, 2, false,
     "Explain ganger, or one command.",
     "",
     "  ganger help run\n"},
};
/* clang-format on */

const size_t n_commands = ARRAY_LEN(commands);
