-- What started a run, and for an automation its id.
ALTER TABLE runs ADD COLUMN origin TEXT NOT NULL DEFAULT 'api';
ALTER TABLE runs ADD COLUMN origin_id TEXT;
UPDATE runs SET origin = 'chat_completions' WHERE unattended;
CREATE INDEX runs_status ON runs (status, position);
CREATE INDEX runs_origin ON runs (origin, position);
