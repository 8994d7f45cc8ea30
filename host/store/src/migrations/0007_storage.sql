-- Where the log of events begins: what stood up to this position was removed after its time.
CREATE TABLE event_log (
    only        INTEGER PRIMARY KEY CHECK (only = 1),
    pruned      INTEGER NOT NULL
) STRICT;
INSERT INTO event_log (only, pruned) VALUES (1, 0);

-- Of a database that comes from a backup, until somebody decides what becomes of its unfinished runs.
CREATE TABLE restored (
    only        INTEGER PRIMARY KEY CHECK (only = 1),
    taken_at    TEXT NOT NULL,
    restored_at TEXT NOT NULL
) STRICT;
