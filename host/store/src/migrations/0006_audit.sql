-- A vault that was begun before the log, and keeps nothing yet, begins anew with it.
DELETE FROM vault WHERE NOT EXISTS (SELECT 1 FROM secrets);

-- Who did what: each row's hash is over the row and the hash before it.
CREATE TABLE audit (
    position   INTEGER PRIMARY KEY,
    timestamp  TEXT NOT NULL,
    actor      TEXT NOT NULL,
    agent_id   TEXT,
    run_id     TEXT,
    event_type TEXT NOT NULL,
    payload    TEXT NOT NULL,
    hash       BLOB NOT NULL
) STRICT;
CREATE INDEX audit_agent ON audit (agent_id, position);
CREATE INDEX audit_run ON audit (run_id, position);
CREATE INDEX audit_timestamp ON audit (timestamp);

-- The keys of the hashes, from which row on each is used, sealed by the master key. A rotation of the
-- master key begins another.
CREATE TABLE audit_keys (
    first      INTEGER PRIMARY KEY,
    sealed     BLOB NOT NULL
) STRICT;

-- Where the rows begin and end, under a hash of their own: rows that were cut off are missed.
CREATE TABLE audit_state (
    only       INTEGER PRIMARY KEY CHECK (only = 1),
    -- Up to this row they were removed after their time.
    pruned     INTEGER NOT NULL,
    pruned_hash BLOB NOT NULL,
    last       INTEGER NOT NULL,
    last_hash  BLOB NOT NULL,
    -- The first entry after it was noticed that this does not fit the rows or the hash, or 0.
    broken     INTEGER NOT NULL,
    mac        BLOB NOT NULL
) STRICT;
