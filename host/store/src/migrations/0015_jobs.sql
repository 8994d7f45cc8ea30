-- Work that is done later, once for each key. A job that is done is removed, a dead one stays until somebody decides.
CREATE TABLE jobs (
    position   INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    key        TEXT NOT NULL UNIQUE,
    agent      INTEGER REFERENCES agents (key) ON DELETE CASCADE,
    -- Id or name of what it is about.
    origin     TEXT,
    payload    TEXT NOT NULL,
    status     TEXT NOT NULL,
    -- While the job runs, the end of its lease.
    due_at     TEXT NOT NULL,
    lease      TEXT,
    attempts   INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX jobs_due ON jobs (due_at) WHERE status <> 'dead';
CREATE INDEX jobs_agent ON jobs (agent, position);
CREATE INDEX jobs_status ON jobs (status, position);
CREATE INDEX jobs_lease ON jobs (lease) WHERE lease IS NOT NULL;

INSERT INTO jobs (id, kind, key, agent, origin, payload, status, due_at, created_by, created_at)
SELECT 'job_' || substr(id, 5), 'question.expire', 'question.expire:' || id, agent, id, '{}', 'due', expires_at,
       'server', created_at
FROM questions WHERE status = 'open';
DROP INDEX questions_open;
CREATE INDEX questions_open ON questions (agent, id) WHERE status = 'open';

-- A deleted agent's name is free at once. Its rows are removed in pieces, and its events up to this position.
ALTER TABLE agents ADD COLUMN deleted_at TEXT;
ALTER TABLE agents ADD COLUMN former_name TEXT;
ALTER TABLE agents ADD COLUMN removed_to INTEGER;
CREATE INDEX agents_former_name ON agents (former_name) WHERE former_name IS NOT NULL;
