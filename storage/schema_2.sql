-- SPDX-License-Identifier: MIT
-- Version 2: many jobs together (batches, dependencies, unique keys, callbacks, limits of queues).
--
-- The rule of schema.sql stands: a plain job pays for what it uses. What a job shares with others is stored once, in
-- the row of its batch; what only few jobs have lies in tables of their own, and a bit in jobs.flags says that a look
-- there is worth it.

-- The row that moves, anew: numbers that no statement looks at lie together in one column each (storage/row_pack.c),
-- since what a start or an end costs grows with the number of columns. What a birth says comes first, in the order in
-- which TEXT_BORN names it: so SQLite makes the values where it takes them from.
DROP INDEX jobs_ready;
DROP INDEX jobs_timer;
ALTER TABLE jobs RENAME TO jobs_1;
CREATE TABLE jobs (
    no           INTEGER PRIMARY KEY,
    state        INTEGER NOT NULL                 -- enum job_state; row_move changes it
                 CHECK (state BETWEEN 0 AND 7),
    queue        INTEGER NOT NULL,                -- queues.id
    priority     INTEGER NOT NULL DEFAULT 0,      -- higher first
    timer        INTEGER                          -- enum row_timer in storage/row.h:
                 CHECK (timer BETWEEN 1 AND 4),   -- what the clock does to this row next,
    wake_us      INTEGER,                         -- and when
    created_us   INTEGER NOT NULL,                -- never decreases as no grows
    keep_us      INTEGER NOT NULL DEFAULT 0,      -- a duration
    terms        BLOB,                            -- row_pack_terms; NULL: nothing special
    batch        INTEGER,                         -- batches.no; NULL: none
    idx          INTEGER,                         -- its place in the batch, from 0
    flags        INTEGER NOT NULL DEFAULT 0,      -- enum job_flag in service/base/job.h
    salt         INTEGER NOT NULL,
    ukey         BLOB,                            -- the first 16 bytes of the SHA-256 of unique.key; NULL: none
    version      INTEGER NOT NULL DEFAULT 1,      -- + 1 with each move: the ETag
    attempt      INTEGER NOT NULL DEFAULT 0,      -- the running or last one; 0 = none yet
    output_flags INTEGER NOT NULL DEFAULT 0,      -- enum output_flag in storage/row.h
    ran          BLOB,                            -- row_pack_ran; NULL: nothing yet
    value        BLOB                             -- what a function has returned, when it is short and nothing else is
                                                  -- in `outputs`: a row there would cost more than what it holds
) STRICT;
-- 512 = OUTPUT_ASIDE.
INSERT INTO jobs (no, state, queue, priority, timer, wake_us, created_us, keep_us, terms, salt, version, attempt,
                  output_flags, ran)
    SELECT no, state, queue, priority, timer, wake_us, created_us, keep_us,
           terms_of(created_us, max_attempts, result, retry, due_us, queue_deadline_us, deadline_us),
           salt, version, attempt, output_flags | CASE WHEN stdout_bytes > 0 THEN 512 ELSE 0 END,
           ran_of(created_us, queued_us, started_us, finished_us, slot, reason, exit_code, signal, wall_us, user_us,
                  system_us, max_rss_bytes, killed, stdout_bytes, stderr_bytes)
    FROM jobs_1 ORDER BY no;
DROP TABLE jobs_1;
-- As in version 1: the order in which jobs run, and the only timer that a row has.
CREATE INDEX jobs_ready ON jobs (queue, priority DESC) WHERE state = 2;
CREATE INDEX jobs_timer ON jobs (timer, wake_us) WHERE timer IS NOT NULL;

-- What a function has returned, when it is not short; its size is in jobs.ran, its type in jobs.output_flags.
ALTER TABLE outputs ADD COLUMN value BLOB;

-- What most commits write, whatever they are about, in one table: so it is on one page as a rule.
--   k > 0: how many jobs of queue k are in which state; one UPDATE per commit and queue, and never a COUNT(*).
--   k < 0: reserved and running attempts, as `inflight` had them in version 1 (which is only read, once). Row -1 - g is
--          group g of their places, since a statement for each would cost more than what it writes.
CREATE TABLE ledger (
    k         INTEGER PRIMARY KEY,
    entries   BLOB,  -- k < 0: struct inflight in storage/queue.h, one after another
    scheduled INTEGER NOT NULL DEFAULT 0,
    blocked   INTEGER NOT NULL DEFAULT 0,
    queued    INTEGER NOT NULL DEFAULT 0,
    running   INTEGER NOT NULL DEFAULT 0,
    stopping  INTEGER NOT NULL DEFAULT 0,
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed    INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO ledger (k, scheduled, blocked, queued, running, stopping, succeeded, failed, cancelled)
    SELECT id, scheduled, blocked, queued, running, stopping, succeeded, failed, cancelled FROM queues;
ALTER TABLE queues DROP COLUMN scheduled;
ALTER TABLE queues DROP COLUMN blocked;
ALTER TABLE queues DROP COLUMN queued;
ALTER TABLE queues DROP COLUMN running;
ALTER TABLE queues DROP COLUMN stopping;
ALTER TABLE queues DROP COLUMN succeeded;
ALTER TABLE queues DROP COLUMN failed;
ALTER TABLE queues DROP COLUMN cancelled;

-- How that attempt ended: enum job_state. One that was followed by an automatic retry has failed; the retry verb repeats
-- others as well.
ALTER TABLE attempts ADD COLUMN state INTEGER NOT NULL DEFAULT 6;

-- One living job per key: the row here is the lock. It comes and goes in the transaction that moves the job (row.c), so
-- nothing can be left locked. A partial index of `jobs` would say the same, but each write of any job would open it.
CREATE TABLE key_holders (
    key BLOB NOT NULL PRIMARY KEY,  -- jobs.ukey
    no  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Elements that their batch lets in later, in the order in which it does. 8 = JOB_GATED. Those of chunks (2048 =
-- JOB_CHUNKED) are not in it: most of them end behind the gate, and are looked for in their chunk alone.
CREATE INDEX jobs_gated ON jobs (batch, idx) WHERE flags & 2056 = 8;

-- Jobs that were submitted together. `no` comes from the same sequence as jobs.no, so an id names a job or a batch.
-- Counts and `ended` are written once per commit, however many elements have moved.
CREATE TABLE batches (
    no           INTEGER PRIMARY KEY,
    created_us   INTEGER NOT NULL,
    salt         INTEGER NOT NULL,
    version      INTEGER NOT NULL DEFAULT 1,
    kind         INTEGER NOT NULL,                -- enum batch_kind in service/base/batch.h
    phase        INTEGER NOT NULL,                -- enum batch_phase
    work         INTEGER NOT NULL DEFAULT 0,      -- enum batch_work: what the engine still has to do, in small steps
    place        INTEGER NOT NULL DEFAULT 0,      -- how far that work has come: an index
    queue        INTEGER NOT NULL,                -- queues.id of the template
    n            INTEGER NOT NULL DEFAULT 0,      -- elements so far
    ended        INTEGER NOT NULL DEFAULT 0,      -- rows of `ends` so far: the newest seq
    failed_first INTEGER,                         -- index of the first element that failed
    max_parallel INTEGER NOT NULL DEFAULT 0,      -- 0: no limit
    max_failures INTEGER NOT NULL DEFAULT 0,      -- 0: no limit
    chunksize    INTEGER NOT NULL DEFAULT 1,
    keep_us      INTEGER NOT NULL DEFAULT 0,
    gated        INTEGER NOT NULL DEFAULT 0,      -- elements that its gate holds back (JOB_GATED)
    finished_us  INTEGER,                         -- closed, and all elements have ended
    gone_us      INTEGER,                         -- when it goes; NULL: not before the last row of its elements
    remaining    INTEGER NOT NULL DEFAULT 0,      -- elements whose rows are there
    scheduled    INTEGER NOT NULL DEFAULT 0,
    blocked      INTEGER NOT NULL DEFAULT 0,
    queued       INTEGER NOT NULL DEFAULT 0,
    running      INTEGER NOT NULL DEFAULT 0,
    stopping     INTEGER NOT NULL DEFAULT 0,
    succeeded    INTEGER NOT NULL DEFAULT 0,
    failed       INTEGER NOT NULL DEFAULT 0,
    cancelled    INTEGER NOT NULL DEFAULT 0,
    flags        INTEGER NOT NULL DEFAULT 0       -- enum row_flag, as jobs.flags
) STRICT;
-- Batches with work left: found at the start without looking at the others.
CREATE INDEX batches_work ON batches (no) WHERE work <> 0;
-- Batches that are over, for retention.
CREATE INDEX batches_gone ON batches (gone_us) WHERE gone_us IS NOT NULL;

-- What the elements of a batch have in common: an element with JOB_ITEM has its own item in specs.task or items, and
-- everything else from here.
CREATE TABLE batch_specs (
    no          INTEGER PRIMARY KEY,
    name        TEXT,
    labels      TEXT,
    metadata    TEXT,
    traceparent TEXT,
    policy      BLOB,  -- struct retry_policy
    template    BLOB   -- struct template_head, then the task whose texts hold {} and {index}
) STRICT;

-- The items of elements that were born together: a row holds those of the jobs no, no + 1 ... no + n - 1, which have
-- none in specs. It goes with the payload of the last of them.
CREATE TABLE items (
    no    INTEGER PRIMARY KEY,
    n     INTEGER NOT NULL,
    bytes BLOB NOT NULL  -- storage/items.c
) STRICT;

-- Which numbers the elements have: element first_index + i is job first_no + i. One row as a rule; a new one where
-- other jobs came in between.
CREATE TABLE batch_parts (
    batch       INTEGER NOT NULL,
    first_index INTEGER NOT NULL,
    first_no    INTEGER NOT NULL,
    n           INTEGER NOT NULL,
    PRIMARY KEY (batch, first_index)
) STRICT, WITHOUT ROWID;

-- The order in which elements have ended: what a stream of results is a cursor into. An element that is retried ends
-- once more, with a new place. Neighbours that end one after another, as those of a chunk do, have one row together:
-- the jobs no, no + 1 ... no + n - 1 at the places seq - n + 1 ... seq.
CREATE TABLE ends (
    batch   INTEGER NOT NULL,
    seq     INTEGER NOT NULL,  -- 1, 2, 3 ... in each batch
    no      INTEGER NOT NULL,
    version INTEGER NOT NULL,  -- of the job at this end: when it has moved on, this is no result any more
    n       INTEGER NOT NULL,
    PRIMARY KEY (batch, seq)
) STRICT, WITHOUT ROWID;

-- Who still waits for whom. Parents and children are jobs or batches. A row goes when its child has been told of the
-- parent's end, so each end counts once, also when the parent is retried and ends again. A child that ended before
-- leaves its rows to the parents: numbers are never used twice, so such a row names nobody else.
CREATE TABLE deps (
    parent INTEGER NOT NULL,
    child  INTEGER NOT NULL,
    PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;
CREATE INDEX deps_child ON deps (child);

-- Children that still wait: for how many, and what happens when a parent does not succeed (enum parent_policy).
CREATE TABLE waits (
    child  INTEGER PRIMARY KEY,
    n      INTEGER NOT NULL,
    policy INTEGER NOT NULL
) STRICT;

-- Parents that have ended and whose children have not all been told: large families are told in small steps. It has
-- all that is told, so the parent itself may be retried or forgotten meanwhile.
CREATE TABLE telling (
    parent     INTEGER PRIMARY KEY,
    state      INTEGER NOT NULL,  -- enum job_state: how it ended
    is_batch   INTEGER NOT NULL,
    created_us INTEGER NOT NULL,  -- with salt: its id
    salt       INTEGER NOT NULL
) STRICT;

-- What a job takes from the outputs of its parents when it starts; `k` is the order of the request.
CREATE TABLE inputs (
    no       INTEGER NOT NULL,
    k        INTEGER NOT NULL,
    kind     INTEGER NOT NULL,  -- enum job_input_kind
    parent   INTEGER NOT NULL,
    stream   INTEGER NOT NULL,
    argument INTEGER NOT NULL,  -- which one, and the bytes of it that are replaced
    at       INTEGER NOT NULL,
    len      INTEGER NOT NULL,
    name     TEXT,              -- of the file
    PRIMARY KEY (no, k)
) STRICT, WITHOUT ROWID;

-- Jobs that a running job has submitted, with the id of that one: it may be forgotten before them.
CREATE TABLE offspring (
    child       INTEGER PRIMARY KEY,
    parent      INTEGER NOT NULL,
    parent_ms   INTEGER NOT NULL,  -- with these two its id
    parent_salt INTEGER NOT NULL
) STRICT;
CREATE INDEX offspring_parent ON offspring (parent);

-- `callback` of jobs and batches.
CREATE TABLE callbacks (
    no       INTEGER PRIMARY KEY,
    url      TEXT NOT NULL,
    receiver TEXT NOT NULL,     -- scheme, host and port of the URL
    states   INTEGER NOT NULL   -- bit mask of enum job_state: the ends that are told
) STRICT;

-- Callbacks to be made or being repeated. A row goes when it has been delivered or given up.
CREATE TABLE deliveries (
    id         INTEGER PRIMARY KEY,
    no         INTEGER NOT NULL,   -- job or batch
    is_batch   INTEGER NOT NULL,
    receiver   TEXT NOT NULL,      -- as callbacks.receiver
    state      INTEGER NOT NULL,   -- enum job_state that is reported
    version    INTEGER NOT NULL,   -- of the row with that state; names the message
    tries      INTEGER NOT NULL DEFAULT 0,
    due_us     INTEGER NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;
-- Each receiver has a line of its own, so that one who does not answer holds up nobody else.
CREATE INDEX deliveries_line ON deliveries (receiver, due_us);
CREATE INDEX deliveries_due ON deliveries (due_us);
CREATE INDEX deliveries_no ON deliveries (no);

-- Each try, kept as long as its job.
CREATE TABLE delivery_tries (
    no          INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    at_us       INTEGER NOT NULL,
    took_us     INTEGER NOT NULL,
    http_status INTEGER NOT NULL,  -- 0: no answer
    outcome     INTEGER NOT NULL,  -- enum try_outcome in service/base/callback.h
    error       TEXT,
    PRIMARY KEY (no, seq)
) STRICT, WITHOUT ROWID;

-- What an administrator has said about a queue. A queue without a row here has no limits.
CREATE TABLE queue_settings (
    id           INTEGER PRIMARY KEY,            -- queues.id
    version      INTEGER NOT NULL DEFAULT 1,
    gone         INTEGER NOT NULL DEFAULT 0,     -- 1: deleted; without jobs it is not shown any more
    paused       INTEGER NOT NULL DEFAULT 0,
    concurrency  INTEGER NOT NULL DEFAULT 0,     -- 0: no limit
    rate_n       INTEGER NOT NULL DEFAULT 0,     -- starts in each rate_us; 0: no limit
    rate_us      INTEGER NOT NULL DEFAULT 0,
    weight       INTEGER NOT NULL DEFAULT 0,     -- 0: none was set
    max_length   INTEGER NOT NULL DEFAULT 0,     -- waiting jobs; 0: no limit
    defaults     TEXT,                           -- members of jobs that name none, as JSON
    starts       BLOB                            -- of a queue with a rate: how many jobs began when (service/window.h)
) STRICT;

-- Verbs on many jobs that take more than one turn: what has been accepted goes on, a step in each turn, also when its
-- client or the server dies. A row goes when it is over.
CREATE TABLE chores (
    id      INTEGER PRIMARY KEY,
    kind    INTEGER NOT NULL,  -- enum chore_kind in service/base/chore.h
    target  INTEGER NOT NULL,  -- batches.no, or queues.id
    ranges  BLOB NOT NULL,     -- struct index_range, one after another
    range   INTEGER NOT NULL,  -- how far it has come: struct chore
    place   INTEGER NOT NULL,
    up_to   INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    expired INTEGER NOT NULL,
    flags   INTEGER NOT NULL,
    why     TEXT NOT NULL
) STRICT;

-- Bytes that clients have uploaded, and files that jobs have left. They lie in blobs/<file> of the data directory.
CREATE TABLE blobs (
    no         INTEGER PRIMARY KEY,  -- from the same sequence as jobs.no
    created_us INTEGER NOT NULL,
    salt       INTEGER NOT NULL,
    file       INTEGER NOT NULL,     -- random
    bytes      INTEGER NOT NULL,
    sha256     BLOB NOT NULL,
    gone_us    INTEGER,              -- when it goes; NULL: as soon as no row of blob_uses names it
    job        INTEGER,              -- that has left it; NULL: it was uploaded, or that job runs once more
    k          INTEGER,              -- its place among the files of that job
    name       TEXT                  -- of that file
) STRICT;
CREATE UNIQUE INDEX blobs_file ON blobs (file);
CREATE INDEX blobs_gone ON blobs (gone_us) WHERE gone_us IS NOT NULL;
CREATE INDEX blobs_job ON blobs (job, k) WHERE job IS NOT NULL;

-- Jobs and batches that have not ended and need a blob: it stays as long.
CREATE TABLE blob_uses (
    blob INTEGER NOT NULL,
    no   INTEGER NOT NULL,
    PRIMARY KEY (blob, no)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_uses_no ON blob_uses (no);

-- Pools of workers, as far as they are not what the configuration says: changed, closed, terminated or broken.
CREATE TABLE pools (
    name                  TEXT PRIMARY KEY,
    version               INTEGER NOT NULL,
    made                  INTEGER NOT NULL,  -- 1: by a client; the configuration does not know it
    phase                 INTEGER NOT NULL,  -- enum pool_phase in service/base/pool_spec.h
    place                 INTEGER NOT NULL,  -- of a walk that ends its jobs: those up to this number have ended
    up_to                 INTEGER NOT NULL,  -- and it goes on up to this one; 0: none is under way
    why                   TEXT,              -- of one that a death has broken: what died
    runner                TEXT,              -- of one that a client has made: its program, as JSON
    size                  INTEGER NOT NULL,  -- workers at most
    min                   INTEGER NOT NULL,  -- kept when there is nothing to do; 4294967295: as many as size
    idle_us               INTEGER NOT NULL,  -- 0: idle workers stay
    max_jobs              INTEGER NOT NULL,  -- of one worker; 0: no limit
    start_failures        INTEGER NOT NULL,  -- in a row
    start_timeout_us      INTEGER NOT NULL,
    max_rss               INTEGER NOT NULL,  -- bytes
    on_death              INTEGER NOT NULL,  -- enum worker_death
    isolation             INTEGER NOT NULL,  -- enum pool_isolation
    -- The same as configured when they were changed: they last until that says something else.
    base_size             INTEGER NOT NULL,
    base_min              INTEGER NOT NULL,
    base_idle_us          INTEGER NOT NULL,
    base_max_jobs         INTEGER NOT NULL,
    base_start_failures   INTEGER NOT NULL,
    base_start_timeout_us INTEGER NOT NULL,
    base_max_rss          INTEGER NOT NULL,
    base_on_death         INTEGER NOT NULL,
    base_isolation        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
