-- What became of a job's mesh before its G-code was judged: the check's verdict, and with what it was sliced.
-- `asked` is the digest of the limits under whose verdict a person was asked; a release is the answer to that.

CREATE TABLE meshes (
    job_id  TEXT PRIMARY KEY REFERENCES jobs (job_id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    asked   TEXT NOT NULL DEFAULT '',
    checked TEXT,
    sliced  TEXT
) STRICT;
