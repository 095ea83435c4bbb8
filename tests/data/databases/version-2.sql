-- A database with the schema of version N as it was released (see the last line). Never changed afterwards.
BEGIN TRANSACTION;
CREATE TABLE commands (
    n               INTEGER PRIMARY KEY AUTOINCREMENT,
    cmd_id          TEXT NOT NULL UNIQUE,
    digest          TEXT NOT NULL,
    answer          TEXT
) STRICT;
INSERT INTO "commands" VALUES(1,'c-1','d',NULL);
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
, clk TEXT NOT NULL DEFAULT 'sync' CHECK (clk IN ('sync', 'unsync', 'stepped'))) STRICT;
INSERT INTO "events" VALUES(3,'job','j-0',1,NULL,'ready',NULL,'event',2,2,'boot-1','{}','unsync');
INSERT INTO "events" VALUES(4,'job','j-0',1,NULL,'ready',NULL,'event',3,3,'boot-1','{}','sync');
INSERT INTO "events" VALUES(5,'job','j-0',1,NULL,'ready',NULL,'event',4,4,'boot-1','{}','sync');
CREATE TABLE inbox (
    n               INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id          TEXT NOT NULL,
    rev             INTEGER NOT NULL CHECK (rev >= 1),
    digest          TEXT,
    verdict         TEXT NOT NULL CHECK (verdict IN ('taken', 'rejected', 'cancelled', 'replaced')),
    detail          TEXT NOT NULL,
    document        TEXT,
    -- What the broker's message expiry said, on the monotonic clock of boot: for units whose clock is not set.
    expires_mono_ms INTEGER,
    boot            TEXT NOT NULL,
    UNIQUE (job_id, rev),
    CHECK ((digest IS NULL) = (verdict = 'cancelled'))
) STRICT;
INSERT INTO "inbox" VALUES(1,'j-0',1,'d','taken','',NULL,NULL,'boot-1');
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
INSERT INTO "jobs" VALUES('j-0',1,'ready','part0.gcode','abababababababababababababababababababababababababababababababab','gcode',1234,2,0,0.0,0,'local','PLA',NULL,NULL,'',NULL,1,1790000000000,1790000000001,'abababababababababababababababababababababababababababababababab','digest',12.5,300.0,40,1);
INSERT INTO "jobs" VALUES('j-1',1,'held','part1.gcode','abababababababababababababababababababababababababababababababab','gcode',1234,2,0,1.0,0,'local','PLA',NULL,NULL,'','ready',1,1790000000000,1790000000001,'abababababababababababababababababababababababababababababababab','digest',12.5,300.0,40,2);
INSERT INTO "jobs" VALUES('j-2',1,'completed','part2.gcode','abababababababababababababababababababababababababababababababab','gcode',1234,2,2,2.0,0,'local','PLA',NULL,NULL,'',NULL,1,1790000000000,1790000000001,'abababababababababababababababababababababababababababababababab','digest',12.5,300.0,40,3);
INSERT INTO "jobs" VALUES('j-3',1,'printing','part3.gcode','abababababababababababababababababababababababababababababababab','gcode',1234,2,0,3.0,0,'local','PLA',NULL,NULL,'',NULL,1,1790000000000,1790000000001,'abababababababababababababababababababababababababababababababab','digest',12.5,300.0,40,4);
CREATE TABLE meta (
    key             TEXT PRIMARY KEY,
    value           TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('bed','occupied');
INSERT INTO "meta" VALUES('epoch','0123456789abcdef');
CREATE TABLE omitted (
    seq             INTEGER PRIMARY KEY,
    reason          TEXT NOT NULL
) STRICT;
INSERT INTO "omitted" VALUES(4,'too large');
CREATE TABLE printers (
    port_id         TEXT PRIMARY KEY,
    learned         TEXT NOT NULL,
    updated_ms      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "printers" VALUES('usb-1','{"window":4}',1790000000000);
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
INSERT INTO "prints" VALUES('p-1','j-2',1,'completed','abababababababababababababababababababababababababababababababab',100,1000,'usb-1',NULL,'',1,2,NULL,'{}','1:2:3',NULL);
INSERT INTO "prints" VALUES('p-2','j-3',1,'printing','abababababababababababababababababababababababababababababababab',100,1000,'usb-1',NULL,'',1,NULL,NULL,NULL,'1:2:3',NULL);
CREATE INDEX jobs_by_state ON jobs (state, priority DESC, position, job_id);
CREATE INDEX jobs_by_touch ON jobs (touched);
CREATE UNIQUE INDEX jobs_one_on_the_bed ON jobs ((1)) WHERE state IN ('printing', 'paused');
CREATE INDEX prints_by_job ON prints (job_id);
CREATE UNIQUE INDEX prints_one_running ON prints ((1)) WHERE state IN ('starting', 'printing', 'paused');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',5);
INSERT INTO "sqlite_sequence" VALUES('inbox',1);
INSERT INTO "sqlite_sequence" VALUES('commands',1);
COMMIT;
PRAGMA user_version = 2;
