-- Options of a run, as JSON: words at which its output ends.
ALTER TABLE runs ADD COLUMN options TEXT NOT NULL DEFAULT '{}';

-- The conversations that clients of chat completions sent, so that one that is sent again with more at its end continues
-- its session. `hash` covers all messages up to the task of the run.
CREATE TABLE chat_turns (
    run    TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    agent  INTEGER NOT NULL REFERENCES agents (key) ON DELETE CASCADE,
    caller TEXT NOT NULL,
    hash   BLOB NOT NULL
) STRICT;
CREATE INDEX chat_turns_hash ON chat_turns (agent, caller, hash);
