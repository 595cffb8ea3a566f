-- SPDX-License-Identifier: MIT
-- What ganger remembers. Version 1 (PRAGMA user_version; storage/migrate.c).
--
-- Two rules shape it:
--   1. The row that moves is narrow. `jobs` holds numbers only; each start and each end rewrites
--      this row, so texts and payloads live in tables of their own, which are written once.
--   2. A plain job pays for what it uses. Of the two indexes below a queued job is in the first one
--      only, a running job in none, an ended one in the second one only.
--
-- Times are microseconds since 1970, NULL = not yet or none. The integers 0 and 1 and NULL cost no
-- byte besides their type.

-- One row per job. `no` is assigned by the engine, never used twice, and part of the public id
-- together with the milliseconds of created_us and the salt: a job is found by its rowid, so its id
-- needs no index.
CREATE TABLE jobs (
    no                INTEGER PRIMARY KEY,
    state             INTEGER NOT NULL                   -- enum job_state; row_move changes it
                      CHECK (state BETWEEN 0 AND 7),
    queue             INTEGER NOT NULL,                  -- queues.id
    priority          INTEGER NOT NULL DEFAULT 0,        -- higher first
    attempt           INTEGER NOT NULL DEFAULT 0,        -- the running or last one; 0 = none yet
    max_attempts      INTEGER NOT NULL DEFAULT 1,
    version           INTEGER NOT NULL DEFAULT 1,        -- + 1 with each move: the ETag
    timer             INTEGER                            -- enum row_timer in storage/row.h:
                      CHECK (timer BETWEEN 1 AND 4),     -- what the clock does to this row next,
    wake_us           INTEGER,                           -- and when
    created_us        INTEGER NOT NULL,                  -- never decreases as no grows
    salt              INTEGER NOT NULL,
    due_us            INTEGER,
    queued_us         INTEGER,                           -- NULL: at its creation, if at all
    started_us        INTEGER,
    finished_us       INTEGER,
    queue_deadline_us INTEGER,
    deadline_us       INTEGER,
    keep_us           INTEGER NOT NULL DEFAULT 0,        -- a duration
    result            INTEGER NOT NULL DEFAULT 0,        -- enum job_result
    retry             INTEGER NOT NULL DEFAULT 0,        -- 1: specs.policy is there
    slot              INTEGER,                           -- worker of the running or last attempt
    reason            INTEGER,                           -- enum job_reason
    exit_code         INTEGER,
    signal            INTEGER NOT NULL DEFAULT 0,
    wall_us           INTEGER NOT NULL DEFAULT 0,
    user_us           INTEGER NOT NULL DEFAULT 0,
    system_us         INTEGER NOT NULL DEFAULT 0,
    max_rss_bytes     INTEGER NOT NULL DEFAULT 0,
    killed            INTEGER NOT NULL DEFAULT 0,
    stdout_bytes      INTEGER NOT NULL DEFAULT 0,
    stderr_bytes      INTEGER NOT NULL DEFAULT 0,
    output_flags      INTEGER NOT NULL DEFAULT 0         -- enum output_flag in storage/row.h
) STRICT;

-- The order in which jobs run; SQLite appends `no`, so the oldest of equal priority comes first.
-- 2 = queued.
CREATE INDEX jobs_ready ON jobs (queue, priority DESC) WHERE state = 2;

-- Every row has at most one timer at a time (due, then deadline, then retention), hence one index
-- instead of four.
CREATE INDEX jobs_timer ON jobs (timer, wake_us) WHERE timer IS NOT NULL;

-- The cold half of a job, written at its birth. `task` comes last: what is before it is read
-- without walking it.
CREATE TABLE specs (
    no          INTEGER PRIMARY KEY,
    name        TEXT,
    labels      TEXT,
    metadata    TEXT,
    traceparent TEXT,
    policy      BLOB,  -- struct retry_policy
    task        BLOB
) STRICT;

-- Output that is small enough to live here, of the last attempt. No row: both streams are empty or
-- spooled.
CREATE TABLE outputs (
    no      INTEGER PRIMARY KEY,
    attempt INTEGER NOT NULL,
    stdout  BLOB,
    stderr  BLOB
) STRICT;

-- Why, in words, for the few jobs that have something to say.
CREATE TABLE errors (
    no     INTEGER PRIMARY KEY,
    detail TEXT NOT NULL
) STRICT;

-- Attempts that failed and were followed by another one. The last attempt is in `jobs` itself.
CREATE TABLE attempts (
    no            INTEGER NOT NULL,
    attempt       INTEGER NOT NULL,
    reason        INTEGER,
    exit_code     INTEGER,
    signal        INTEGER NOT NULL,
    started_us    INTEGER,
    finished_us   INTEGER,
    wall_us       INTEGER NOT NULL,
    user_us       INTEGER NOT NULL,
    system_us     INTEGER NOT NULL,
    max_rss_bytes INTEGER NOT NULL,
    killed        INTEGER NOT NULL,
    PRIMARY KEY (no, attempt)
) STRICT, WITHOUT ROWID;

-- Reserved and running attempts, a handful of rows: recovery reads this instead of the queue.
CREATE TABLE inflight (
    k       INTEGER PRIMARY KEY,
    no      INTEGER NOT NULL,
    attempt INTEGER NOT NULL
) STRICT;

-- Queue names and how many jobs are in which state, one column per state: one UPDATE per commit and
-- queue, and never a COUNT(*).
CREATE TABLE queues (
    id        INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    scheduled INTEGER NOT NULL DEFAULT 0,
    blocked   INTEGER NOT NULL DEFAULT 0,
    queued    INTEGER NOT NULL DEFAULT 0,
    running   INTEGER NOT NULL DEFAULT 0,
    stopping  INTEGER NOT NULL DEFAULT 0,
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed    INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Idempotency keys (hashes) and the rows that the first request with that key made.
CREATE TABLE idem (
    key        BLOB NOT NULL PRIMARY KEY,
    body       BLOB NOT NULL,
    first_no   INTEGER NOT NULL,
    n          INTEGER NOT NULL,
    created_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idem_age ON idem (created_us);

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
