/* SPDX-License-Identifier: MIT */
/* What a job takes from the outputs of others: standard input, files, arguments. */
#include "integration/harness_queue.h"
#include "integration/harness_test.h"

#include <dirent.h>
#include <unistd.h>

SERVER_TEST(inputs, the_output_of_a_parent_is_the_standard_input)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = job_submit(s, "{'command':['sh','-c','cat %s; echo out; echo err >&2']}",
                                      hold.s);
    struct job_ref out = job_submit(s, "{'command':['tr','a-z','A-Z'],'stdin_from':{'job':'%s'}}",
                                    first.id);
    struct job_ref err = job_submit(
        s, "{'command':['cat'],'stdin_from':{'job':'%s','stream':'stderr'}}", first.id);
    AUTO_RESPONSE waits = job_show(s, out);
    expect_text(waits, "state", "blocked");
    fifo_release(hold.s);
    AUTO_RESPONSE a = job_await(s, out);
    expect_outcome(a, "succeeded", NULL);
    expect_output(s, out, "stdout", "OUT\n");
    AUTO_RESPONSE b = job_await(s, err);
    expect_outcome(b, "succeeded", NULL);
    expect_output(s, err, "stdout", "err\n");
}

SERVER_TEST(inputs, files_come_from_the_request_and_from_parents)
{
    struct job_ref a = job_submit(s, "{'command':['printf','one']}");
    AUTO_RESPONSE r = job_run(
        s,
        "{'command':['sh','-c','cat text a.txt empty; stat -c %%a text a.txt; ls | wc -l; pwd'],"
        "'files':{'text':'in\\u0020line ','a.txt':{'job':'%s'},"
        "'empty':{'job':'%s','stream':'stderr'}}}",
        a.id, a.id);
    expect_outcome(r, "succeeded", NULL);
    AUTO_TEXT seen = job_read(s, job_of(r), "stdout");
    cr_assert_eq(strncmp(seen, "in line one600\n600\n3\n/", 22), 0, "%s", seen);
    AUTO_RESPONSE after = job_run(s, "{'command':['ls','-A']}");
    expect_output(s, job_of(after), "stdout", "");
}

SERVER_TEST(inputs, results_stand_in_arguments)
{
    AUTO_RESPONSE a = job_run(s, "{'command':['printf','a b\\n\\n']}");
    AUTO_RESPONSE b = job_run(s, "{'command':['true']}");
    AUTO_RESPONSE r = job_run(
        s,
        "{'command':['printf','<%%s>','x={result:%s}/{result:%s}!','{result:%s}','{result:}',"
        "'{result:other}','{result:%s']}",
        job_of(a).id, job_of(b).id, job_of(b).id, job_of(a).id);
    expect_outcome(r, "succeeded", NULL);
    expect_output(s, job_of(r), "stdout",
                  text_of("<x=a b\n/!><><{result:}><{result:other}><{result:%s>", job_of(a).id).s);
}

/* Some MiB, spooled: by standard input and as a file, byte for byte. */
SERVER_TEST(inputs, large_outputs_arrive_whole)
{
    AUTO_RESPONSE big = job_run(s, "{'command':['seq','1','700000']}");
    AUTO_RESPONSE sum = job_run(s, "{'command':['sh','-c','seq 1 700000 | cksum']}");
    AUTO_TEXT want = job_read(s, job_of(sum), "stdout");
    AUTO_RESPONSE in = job_run(s, "{'command':['cksum'],'stdin_from':{'job':'%s'}}",
                               job_of(big).id);
    expect_outcome(in, "succeeded", NULL);
    expect_output(s, job_of(in), "stdout", want);
    AUTO_RESPONSE file = job_run(
        s, "{'command':['sh','-c','cksum <f; echo more >>f'],'files':{'f':{'job':'%s'}}}",
        job_of(big).id);
    expect_outcome(file, "succeeded", NULL);
    expect_output(s, job_of(file), "stdout", want);
    AUTO_RESPONSE again = job_run(s, "{'command':['cksum'],'stdin_from':{'job':'%s'}}",
                                  job_of(big).id);
    expect_output(s, job_of(again), "stdout", want);
    AUTO_RESPONSE arg = job_run(s, "{'command':['echo','{result:%s}']}", job_of(big).id);
    expect_outcome(arg, "failed", "dependency");
    cr_assert_not_null(strstr(json_text(arg, "error.detail"), "too long for an argument"));
}

SERVER_TEST(inputs, a_retry_takes_its_inputs_again)
{
    AUTO_RESPONSE a = job_run(s, "{'command':['echo','x']}");
    AUTO_RESPONSE r = job_run(
        s,
        "{'command':['sh','-c','cat f; echo $GANGER_ATTEMPT; test $GANGER_ATTEMPT = 2'],"
        "'files':{'f':{'job':'%s'}},'retry':{'max_attempts':2,'delay':0}}",
        job_of(a).id);
    expect_outcome(r, "succeeded", NULL);
    expect_output(s, job_of(r), "stdout", "x\n2\n");
}

static long result_status(struct server *s, struct job_ref job)
{
    AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/result", job.id);
    return r->status;
}

static void expect_missing(struct response *r, const char *words)
{
    expect_outcome(r, "failed", "dependency");
    cr_assert_not_null(strstr(json_text(r, "error.detail"), words), "%s",
                       json_text(r, "error.detail"));
    cr_assert(json_is_null(r, "exit_code"));
}

SERVER_TEST(inputs, what_is_not_there_any_more_is_told)
{
    struct job_ref brief = job_submit(s, "{'command':['echo','x'],'keep':'1ms'}");
    AUTO_RESPONSE end = job_await(s, brief);
    AWAIT(result_status(s, brief) == 410, 20);
    AUTO_RESPONSE expired = job_run(s, "{'command':['cat'],'stdin_from':{'job':'%s'}}", brief.id);
    expect_missing(expired, "has expired");
    struct job_ref gone = job_submit(s, "{'command':['echo','x']}");
    put_queue(s, "held", "{'paused':true}");
    struct job_ref later = job_submit(
        s, "{'command':['cat'],'stdin_from':{'job':'%s'},'queue':'held'}", gone.id);
    AUTO_RESPONSE done = job_await(s, gone);
    AUTO_RESPONSE forgotten = http(s, "DELETE", text_of("/v1/jobs/%s", gone.id).s, NULL, NULL);
    expect_status(forgotten, 204);
    queue_verb(s, "held", "resume");
    AUTO_RESPONSE r = job_await(s, later);
    expect_missing(r, "has been deleted");
    AUTO_RESPONSE cut = job_run(s, "{'command':['echo','more than fits'],'limits':{'output':4}}");
    AUTO_RESPONSE part = job_run(s, "{'command':['cat'],'stdin_from':{'job':'%s'}}",
                                 job_of(cut).id);
    expect_missing(part, "was cut at its limit");
}

/* Removes every file below the directory of spool files. */
static void empty_spool(const struct server *s)
{
    struct text spool = text_of("%s/spool", s->dir);
    DIR *dir = opendir(spool.s);
    CHECK(dir != NULL, "no spool");
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        struct text sub = text_of("%s/%s", spool.s, entry->d_name);
        DIR *files = entry->d_name[0] == '.' ? NULL : opendir(sub.s);
        for (const struct dirent *file; files != NULL && (file = readdir(files)) != NULL;)
            (void)unlink(text_of("%s/%s", sub.s, file->d_name).s);
        if (files != NULL)
            (void)closedir(files);
    }
    (void)closedir(dir);
}

SERVER_TEST(inputs, a_lost_spool_file_is_told_and_its_children_hear)
{
    AUTO_RESPONSE big = job_run(s, "{'command':['seq','1','100000']}");
    empty_spool(s);
    struct text hold = fifo_make(s, "hold");
    struct job_ref holder = job_submit(s, "{'command':['cat','%s']}", hold.s);
    struct job_ref child = job_submit(
        s, "{'command':['cat'],'stdin_from':{'job':'%s'},'depends_on':['%s']}", job_of(big).id,
        holder.id);
    struct job_ref grandchild = job_submit(s, "{'command':['true'],'depends_on':['%s']}", child.id);
    fifo_release(hold.s);
    AUTO_RESPONSE r = job_await(s, child);
    expect_missing(r, "is not there any more");
    AUTO_RESPONSE end = job_await(s, grandchild);
    expect_outcome(end, "cancelled", NULL);
}

static const struct {
    const char *members, *pointer;
} refused[] = {
    {"'stdin_from':{}", "/stdin_from"},
    {"'stdin_from':'x'", "/stdin_from"},
    {"'stdin_from':{'job':'x'}", "/stdin_from/job"},
    {"'stdin_from':{'job':'01990000-0000-7001-8000-000100000000'}", "/stdin_from/job"},
    {"'stdin_from':{'job':'01990000-0000-7001-8000-000100000000','stream':'both'}",
     "/stdin_from/stream"},
    {"'stdin_from':{'job':'01990000-0000-7001-8000-000100000000','strem':'stdout'}",
     "/stdin_from/strem"},
    {"'stdin':'x','stdin_from':{'job':'01990000-0000-7001-8000-000100000000'}", "/stdin_from"},
    {"'stdin_from':{'job':'01990000-0000-7001-8000-000100000000'},'stdin_base64':''",
     "/stdin_base64"},
    {"'files':[]", "/files"},
    {"'files':{'a':1}", "/files/a"},
    {"'files':{'':'x'}", "/files/"},
    {"'files':{'a/b':'x'}", "/files/a~1b"},
    {"'files':{'..':'x'}", "/files/.."},
    {"'files':{'.':'x'}", "/files/."},
    {"'files':{'a':{'job':'01990000-0000-7001-8000-000100000000'}}", "/files/a/job"},
    {"'files':{'a':'x'},'cwd':'/tmp'", "/files"},
};

SERVER_TEST(inputs, what_cannot_be_taken_is_refused_by_its_place)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs",
                               text_of("{'command':['true'],%s}", refused[i].members).s, NULL);
        expect_invalid(r, refused[i].pointer);
    }
    AUTO_RESPONSE r = http(
        s, "POST", "/v1/jobs",
        "{'command':['echo','x','{result:01990000-0000-7001-8000-000100000000}']}", NULL);
    expect_invalid(r, "/command/2");
    AUTO_RESPONSE list = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 0);
}

SERVER_TEST(inputs, inputs_outlive_kill_9)
{
    struct job_ref parent = job_submit(s, "{'command':['echo','kept'],'delay':'700ms'}");
    struct job_ref child = job_submit(
        s,
        "{'command':['sh','-c','cat; cat f; echo {result:%s}'],'stdin_from':{'job':'%s'},"
        "'files':{'f':{'job':'%s'}}}",
        parent.id, parent.id, parent.id);
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE r = job_await(s, child);
    expect_outcome(r, "succeeded", NULL);
    expect_output(s, child, "stdout", "kept\nkept\nkept\n");
}
