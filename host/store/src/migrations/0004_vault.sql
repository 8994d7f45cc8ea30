-- By which master key the secrets are sealed: a keyed hash of nothing, from which no key follows.
CREATE TABLE vault (
    only        INTEGER PRIMARY KEY CHECK (only = 1),
    key_id      TEXT NOT NULL
) STRICT;

CREATE TABLE secrets (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT,
    -- Counts its values; part of what the seal is bound to.
    version     INTEGER NOT NULL,
    sealed      BLOB NOT NULL,
    created_by  TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL
) STRICT;
