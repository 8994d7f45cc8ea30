-- Each request for a completion, written before it is sent. Money is in billionths of a US dollar; no cost: the price
-- is not known. A reservation remains where it never became known what the call used.
CREATE TABLE model_calls (
    position            INTEGER PRIMARY KEY,
    id                  TEXT NOT NULL UNIQUE,
    agent               INTEGER NOT NULL REFERENCES agents (key) ON DELETE CASCADE,
    run                 TEXT REFERENCES runs (id) ON DELETE CASCADE,
    provider            TEXT NOT NULL,
    model               TEXT NOT NULL,
    status              TEXT NOT NULL,
    -- Size of the request.
    bytes               INTEGER,
    -- Why it failed, as JSON, and which model is called instead.
    error               TEXT,
    next                TEXT,
    reserved_tokens     INTEGER NOT NULL DEFAULT 0,
    reserved_cost       INTEGER NOT NULL DEFAULT 0,
    input_tokens        INTEGER NOT NULL DEFAULT 0,
    cached_input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens       INTEGER NOT NULL DEFAULT 0,
    cost                INTEGER,
    started_at          TEXT NOT NULL,
    ended_at            TEXT
) STRICT;

INSERT INTO model_calls (id, agent, run, provider, model, status, bytes, error, next, reserved_tokens, reserved_cost,
                         input_tokens, cached_input_tokens, output_tokens, cost, started_at, ended_at)
SELECT 'mdc_' || substr(s.id, 5), r.agent, s.run, COALESCE(s.input ->> 'provider', ''), s.name, s.status,
       s.input ->> 'bytes',
       CASE WHEN s.output ->> 'code' IS NOT NULL
            THEN json_object('code', s.output ->> 'code', 'message', COALESCE(s.output ->> 'message', '')) END,
       s.output -> 'next', s.reserved_tokens, s.reserved_cost,
       s.input_tokens, s.cached_input_tokens, s.output_tokens, s.cost, s.started_at, s.ended_at
FROM steps s JOIN runs r ON r.id = s.run
WHERE s.kind = 'model' ORDER BY r.position, s.ordinal;

CREATE INDEX model_calls_run ON model_calls (run, position);
CREATE INDEX model_calls_failed ON model_calls (run, position) WHERE status = 'failed';
CREATE INDEX model_calls_agent ON model_calls (agent, position);

ALTER TABLE steps ADD COLUMN model_call TEXT REFERENCES model_calls (id) ON DELETE CASCADE;
UPDATE steps SET model_call = 'mdc_' || substr(id, 5) WHERE kind = 'model';
CREATE INDEX steps_model_call ON steps (model_call) WHERE model_call IS NOT NULL;
CREATE INDEX steps_open ON steps (run) WHERE ended_at IS NULL;

-- Usage is counted as it arises, so that limits and lists need no sums. `model_calls` leaves out interrupted ones.
CREATE TABLE daily_usage (
    agent               INTEGER NOT NULL REFERENCES agents (key) ON DELETE CASCADE,
    day                 TEXT NOT NULL,
    model_calls         INTEGER NOT NULL,
    tool_calls          INTEGER NOT NULL,
    input_tokens        INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    cost                INTEGER NOT NULL,
    reserved_tokens     INTEGER NOT NULL,
    reserved_cost       INTEGER NOT NULL,
    PRIMARY KEY (agent, day)
) STRICT;
INSERT INTO daily_usage
SELECT r.agent, substr(s.started_at, 1, 10), COUNT(*) FILTER (WHERE s.kind = 'model' AND s.status <> 'interrupted'),
       COUNT(*) FILTER (WHERE s.kind = 'tool'), SUM(s.input_tokens), SUM(s.cached_input_tokens), SUM(s.output_tokens),
       COALESCE(SUM(s.cost), 0), SUM(s.reserved_tokens), SUM(s.reserved_cost)
FROM steps s JOIN runs r ON r.id = s.run GROUP BY 1, 2;

ALTER TABLE runs ADD COLUMN model_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN tool_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN input_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN cached_input_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN output_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN reserved_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN reserved_cost INTEGER NOT NULL DEFAULT 0;
-- Tool calls that the model requested, made or not.
ALTER TABLE runs ADD COLUMN requested_tool_calls INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET (model_calls, tool_calls, input_tokens, cached_input_tokens, output_tokens, cost, reserved_tokens,
                 reserved_cost) =
    (SELECT COUNT(*) FILTER (WHERE s.kind = 'model' AND s.status <> 'interrupted'),
            COUNT(*) FILTER (WHERE s.kind = 'tool'), COALESCE(SUM(s.input_tokens), 0),
            COALESCE(SUM(s.cached_input_tokens), 0), COALESCE(SUM(s.output_tokens), 0), COALESCE(SUM(s.cost), 0),
            COALESCE(SUM(s.reserved_tokens), 0), COALESCE(SUM(s.reserved_cost), 0)
     FROM steps s WHERE s.run = runs.id),
    requested_tool_calls =
    (SELECT COALESCE(SUM(json_array_length(m.tool_calls)), 0) FROM messages m
     WHERE m.run = runs.id AND m.tool_calls IS NOT NULL);

DROP INDEX steps_agent;
ALTER TABLE steps DROP COLUMN agent;
ALTER TABLE steps DROP COLUMN input_tokens;
ALTER TABLE steps DROP COLUMN cached_input_tokens;
ALTER TABLE steps DROP COLUMN output_tokens;
ALTER TABLE steps DROP COLUMN cost;
ALTER TABLE steps DROP COLUMN reserved_tokens;
ALTER TABLE steps DROP COLUMN reserved_cost;

-- Where a session's prompt begins, and the number of messages before it.
ALTER TABLE sessions ADD COLUMN context_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN left_out INTEGER NOT NULL DEFAULT 0;

-- An agent's status is that of its open runs.
DROP INDEX runs_agent_open;
CREATE INDEX runs_agent_open ON runs (agent, status) WHERE ended_at IS NULL;

-- For readers of rare events.
CREATE INDEX events_type ON events (event_type, position);
