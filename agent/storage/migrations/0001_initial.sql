-- Jobs, prints, events, meta and learned printers. Times are Unix milliseconds unless a name says otherwise.

CREATE TABLE jobs (
    job_id          TEXT PRIMARY KEY,
    rev             INTEGER NOT NULL CHECK (rev >= 1),
    state           TEXT NOT NULL CHECK (state IN (
                        'received', 'fetching', 'checking', 'slicing', 'verifying', 'ready', 'printing', 'paused',
                        'held', 'completed', 'failed', 'cancelled', 'rejected', 'expired')),
    name            TEXT NOT NULL,
    artefact_sha256 TEXT NOT NULL CHECK (length(artefact_sha256) = 64),
    artefact_format TEXT NOT NULL,
    artefact_size   INTEGER NOT NULL CHECK (artefact_size > 0),
    copies          INTEGER NOT NULL CHECK (copies >= 1),
    copies_done     INTEGER NOT NULL CHECK (copies_done BETWEEN 0 AND copies),
    position        REAL NOT NULL,
    priority        INTEGER NOT NULL,
    source          TEXT NOT NULL,
    material        TEXT,
    quality         TEXT,
    reason          TEXT,
    detail          TEXT NOT NULL,
    held_from       TEXT,
    attempt         INTEGER NOT NULL CHECK (attempt >= 1),
    created_ms      INTEGER NOT NULL,
    updated_ms      INTEGER NOT NULL,
    prepared_sha256 TEXT,
    profile_digest  TEXT,
    estimate_s      REAL,
    filament_mm     REAL,
    layers          INTEGER,
    -- Counts writes to this table: what is newest must not depend on a clock that may step.
    touched         INTEGER NOT NULL,
    CHECK ((state = 'held') = (held_from IS NOT NULL)),
    CHECK (state != 'completed' OR copies_done = copies)
) STRICT;

CREATE INDEX jobs_by_state ON jobs (state, priority DESC, position, job_id);
CREATE INDEX jobs_by_touch ON jobs (touched);
-- A unit has one bed: a second job on it is a bug that the database itself refuses.
CREATE UNIQUE INDEX jobs_one_on_the_bed ON jobs ((1)) WHERE state IN ('printing', 'paused');

CREATE TABLE prints (
    print_id        TEXT PRIMARY KEY,
    job_id          TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    copy            INTEGER NOT NULL CHECK (copy >= 1),
    state           TEXT NOT NULL CHECK (state IN (
                        'starting', 'printing', 'paused', 'completed', 'failed', 'cancelled')),
    prepared_sha256 TEXT NOT NULL,
    lines           INTEGER NOT NULL CHECK (lines >= 0),
    base            INTEGER NOT NULL CHECK (base > 0),
    port_id         TEXT NOT NULL,
    reason          TEXT,
    detail          TEXT NOT NULL,
    started_ms      INTEGER NOT NULL,
    ended_ms        INTEGER,
    pause_snapshot  TEXT,
    receipt         TEXT,
    file_stamp      TEXT NOT NULL,
    cancel_reason   TEXT,
    CHECK ((state IN ('completed', 'failed', 'cancelled')) = (ended_ms IS NOT NULL))
) STRICT;

CREATE INDEX prints_by_job ON prints (job_id);
CREATE UNIQUE INDEX prints_one_running ON prints ((1)) WHERE state IN ('starting', 'printing', 'paused');

-- The outbox. AUTOINCREMENT: a sequence number is never given out twice, also not after rows were removed.
CREATE TABLE events (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    type            TEXT NOT NULL,
    job_id          TEXT,
    rev             INTEGER,
    print_id        TEXT,
    state           TEXT,
    reason          TEXT,
    detail          TEXT NOT NULL,
    t_ms            INTEGER NOT NULL,
    mono_ms         INTEGER NOT NULL,
    boot            TEXT NOT NULL,
    data            TEXT NOT NULL
) STRICT;

CREATE TABLE meta (
    key             TEXT PRIMARY KEY,
    value           TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE printers (
    port_id         TEXT PRIMARY KEY,
    learned         TEXT NOT NULL,
    updated_ms      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Born with the file: a database that replaces a lost one never reuses an (epoch, seq).
INSERT INTO meta (key, value) VALUES ('epoch', lower(hex(randomblob(8)))), ('bed', 'clear');
