-- The time that retention takes for the present. It is stored, so that a clock that jumps ahead does not remove
-- everything at once.
CREATE TABLE retention_clock (
    only       INTEGER PRIMARY KEY CHECK (only = 1),
    present    TEXT NOT NULL,
    checked_at TEXT NOT NULL
) STRICT;
CREATE INDEX runs_ended ON runs (origin, ended_at);
