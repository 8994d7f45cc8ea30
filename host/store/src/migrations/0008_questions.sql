-- What a run asks a person. A call may ask several times, so each counts the ones of its kind.
CREATE TABLE questions (
    id          TEXT PRIMARY KEY,
    run         TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    agent       INTEGER NOT NULL REFERENCES agents (key) ON DELETE CASCADE,
    session     TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL,
    -- The tool call that waits: the message that has it, and its id there.
    message     TEXT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    call_id     TEXT NOT NULL,
    ordinal     INTEGER NOT NULL,
    question    TEXT NOT NULL,
    -- What is to be approved.
    tool        TEXT NOT NULL,
    digest      TEXT,
    arguments   TEXT,
    status      TEXT NOT NULL,
    answer      TEXT,
    decision    TEXT,
    scope       TEXT,
    answered_by TEXT,
    created_at  TEXT NOT NULL,
    expires_at  TEXT NOT NULL,
    ended_at    TEXT,
    UNIQUE (message, call_id, kind, ordinal)
) STRICT;
CREATE INDEX questions_run ON questions (run);
CREATE INDEX questions_agent ON questions (agent, tool);
CREATE INDEX questions_open ON questions (expires_at) WHERE status = 'open';

ALTER TABLE agents ADD COLUMN tool_policy TEXT NOT NULL DEFAULT '{}';

-- Whose doing a run is, and how long it waited for people.
ALTER TABLE runs ADD COLUMN started_by TEXT NOT NULL DEFAULT 'server';
ALTER TABLE runs ADD COLUMN waiting_since TEXT;
ALTER TABLE runs ADD COLUMN waited_ms INTEGER NOT NULL DEFAULT 0;
