-- Tokens are never deleted: the first one closes the bootstrap for ever.
CREATE TABLE tokens (
    id           TEXT PRIMARY KEY,
    -- The SHA-256 of the token, which itself is kept nowhere.
    hash         BLOB NOT NULL UNIQUE,
    scopes       TEXT NOT NULL,
    description  TEXT,
    created_at   TEXT NOT NULL,
    -- A token's id, or `local`, `bootstrap` or `offline`.
    created_by   TEXT NOT NULL,
    expires_at   TEXT,
    last_used_at TEXT,
    revoked_at   TEXT
) STRICT;

-- What was asked for under an `Idempotency-Key`, and what was answered. Without a status, the first
-- request is being carried out; those for runs have the run instead of an answer.
CREATE TABLE idempotency (
    caller     TEXT NOT NULL,
    route      TEXT NOT NULL,
    key        TEXT NOT NULL,
    -- An HMAC of the body.
    mac        BLOB NOT NULL,
    run        TEXT REFERENCES runs (id) ON DELETE CASCADE,
    status     INTEGER,
    headers    TEXT,
    body       BLOB,
    -- What was made, where the answer is not kept: it shows a secret, or is large.
    made       TEXT,
    created_at TEXT NOT NULL,
    PRIMARY KEY (caller, route, key)
) STRICT;
CREATE INDEX idempotency_created ON idempotency (created_at);
CREATE INDEX idempotency_run ON idempotency (run) WHERE run IS NOT NULL;
