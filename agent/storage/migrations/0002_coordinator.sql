-- The link to a coordinator: what was received, answered, and what of the outbox (table events) cannot go out.

ALTER TABLE events ADD COLUMN clk TEXT NOT NULL DEFAULT 'sync' CHECK (clk IN ('sync', 'unsync', 'stepped'));

-- Events whose content a broker cannot take. Their numbers are delivered with the reason.
CREATE TABLE omitted (
    seq             INTEGER PRIMARY KEY,
    reason          TEXT NOT NULL
) STRICT;

-- One row per order, also for orders that were refused, and for cancellations that came before their order
-- (digest NULL). It outlives the job's row, so that a late redelivery is recognised.
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

-- The last answers to commands: the same command again is answered, not carried out again.
CREATE TABLE commands (
    n               INTEGER PRIMARY KEY AUTOINCREMENT,
    cmd_id          TEXT NOT NULL UNIQUE,
    digest          TEXT NOT NULL,
    answer          TEXT
) STRICT;
