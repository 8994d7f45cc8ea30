-- What model calls cost, and what is reserved for them: while they are made, and for good where it never
-- became known what they used. Money is in billionths of a US dollar; no cost: the price is not known.
ALTER TABLE steps ADD COLUMN cached_input_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE steps ADD COLUMN cost INTEGER;
ALTER TABLE steps ADD COLUMN reserved_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE steps ADD COLUMN reserved_cost INTEGER NOT NULL DEFAULT 0;

-- The key of the run's agent, so that an agent's day is one range of an index.
ALTER TABLE steps ADD COLUMN agent INTEGER;
UPDATE steps SET agent = (SELECT r.agent FROM runs r WHERE r.id = steps.run);
CREATE INDEX steps_agent ON steps (agent, started_at);
