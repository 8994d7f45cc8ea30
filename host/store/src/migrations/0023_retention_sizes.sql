-- Sizes, so that retention bounds data by its bytes. Those of events are counted by the job that removes them, up to the
-- position `counted_to`; the size of a run is that of its messages, steps and output, once it has ended.
ALTER TABLE event_log ADD COLUMN counted_to INTEGER NOT NULL DEFAULT 0;
ALTER TABLE event_log ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER events_removed AFTER DELETE ON events BEGIN
    UPDATE event_log SET bytes = bytes - octet_length(OLD.payload) WHERE OLD.position <= counted_to;
END;
ALTER TABLE runs ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET bytes = COALESCE(octet_length(output), 0)
    + (SELECT COALESCE(SUM(octet_length(content) + COALESCE(octet_length(tool_calls), 0)), 0)
       FROM messages WHERE run = runs.id)
    + (SELECT COALESCE(SUM(COALESCE(octet_length(input), 0) + COALESCE(octet_length(output), 0)), 0)
       FROM steps WHERE run = runs.id)
    WHERE ended_at IS NOT NULL;
DROP INDEX runs_ended;
CREATE INDEX runs_ended ON runs ((origin IN ('chat_completions', 'responses')), ended_at, bytes);
CREATE INDEX idempotency_sizes ON idempotency (created_at, octet_length(body)) WHERE body IS NOT NULL;
