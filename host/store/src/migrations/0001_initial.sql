-- Components are shared: one row for each digest, with what the component said of itself.
CREATE TABLE components (
    digest      TEXT PRIMARY KEY,
    world       TEXT NOT NULL,
    manifest    TEXT NOT NULL,
    tools       TEXT NOT NULL,
    size        INTEGER NOT NULL,
    created_at  TEXT NOT NULL
) STRICT;

CREATE TABLE providers (
    id          TEXT PRIMARY KEY,
    digest      TEXT NOT NULL REFERENCES components (digest),
    config      TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL
) STRICT;

-- Rows that belong to an agent refer to its key: a new agent of the same name starts empty.
CREATE TABLE agents (
    key         INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL UNIQUE,
    provider    TEXT NOT NULL REFERENCES providers (id),
    model       TEXT NOT NULL,
    persona     TEXT,
    temperature REAL,
    limits      TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL
) STRICT;
CREATE INDEX agents_provider ON agents (provider);

CREATE TABLE skills (
    agent       INTEGER NOT NULL REFERENCES agents (key) ON DELETE CASCADE,
    id          TEXT NOT NULL,
    digest      TEXT NOT NULL REFERENCES components (digest),
    -- Of the version before, to go back to.
    previous    TEXT REFERENCES components (digest),
    created_at  TEXT NOT NULL,
    PRIMARY KEY (agent, id)
) STRICT;
CREATE INDEX skills_digest ON skills (digest);

-- What a skill keeps for an agent.
CREATE TABLE keyvalue (
    agent       INTEGER NOT NULL,
    skill       TEXT NOT NULL,
    key         TEXT NOT NULL,
    value       BLOB NOT NULL,
    PRIMARY KEY (agent, skill, key),
    FOREIGN KEY (agent, skill) REFERENCES skills (agent, id) ON DELETE CASCADE
) STRICT;

-- One open session for each conversation; a closed one keeps its history.
CREATE TABLE sessions (
    id          TEXT PRIMARY KEY,
    agent       INTEGER NOT NULL REFERENCES agents (key) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    closed_at   TEXT
) STRICT;
CREATE UNIQUE INDEX sessions_open ON sessions (agent, name) WHERE closed_at IS NULL;

CREATE TABLE runs (
    position      INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    agent         INTEGER NOT NULL REFERENCES agents (key) ON DELETE CASCADE,
    session       TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    status        TEXT NOT NULL,
    stop          TEXT,
    task          TEXT NOT NULL,
    output        TEXT,
    error         TEXT,
    last_sequence INTEGER NOT NULL DEFAULT 0,
    created_at    TEXT NOT NULL,
    started_at    TEXT,
    ended_at      TEXT
) STRICT;
CREATE INDEX runs_agent ON runs (agent, position);
CREATE INDEX runs_open ON runs (session, position) WHERE ended_at IS NULL;
CREATE INDEX runs_agent_open ON runs (agent) WHERE ended_at IS NULL;

-- A step is written before its effect and closed after it.
CREATE TABLE steps (
    id            TEXT PRIMARY KEY,
    run           TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    ordinal       INTEGER NOT NULL,
    kind          TEXT NOT NULL,
    status        TEXT NOT NULL,
    name          TEXT NOT NULL,
    input         TEXT,
    output        TEXT,
    input_tokens  INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    started_at    TEXT NOT NULL,
    ended_at      TEXT,
    UNIQUE (run, ordinal)
) STRICT;

CREATE TABLE messages (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    session      TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    run          TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    role         TEXT NOT NULL,
    content      TEXT NOT NULL,
    tool_calls   TEXT,
    tool_call_id TEXT,
    is_error     INTEGER NOT NULL DEFAULT 0,
    thinking     TEXT,
    created_at   TEXT NOT NULL
) STRICT;
CREATE INDEX messages_session ON messages (session, position);
CREATE INDEX messages_run ON messages (run, position);

-- The log: `position` orders everything, `sequence` counts within a run.
CREATE TABLE events (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id   TEXT NOT NULL,
    timestamp  TEXT NOT NULL,
    agent_id   TEXT,
    run_id     TEXT,
    sequence   INTEGER,
    event_type TEXT NOT NULL,
    payload    TEXT NOT NULL
) STRICT;
CREATE INDEX events_agent ON events (agent_id, position);
CREATE INDEX events_run ON events (run_id, position);
