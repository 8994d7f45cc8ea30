-- Data of providers that belongs to a message, and messages that broke off.
ALTER TABLE messages ADD COLUMN opaque TEXT;
ALTER TABLE messages ADD COLUMN partial TEXT;
-- Tokens that the service wrote to its cache, and whether the host estimated the usage.
ALTER TABLE model_calls ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE model_calls ADD COLUMN is_estimated INTEGER NOT NULL DEFAULT 0;
-- The price by which a call without reported usage is estimated.
ALTER TABLE model_calls ADD COLUMN price TEXT;
ALTER TABLE runs ADD COLUMN output_truncated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
-- What a provider learned of a model from the errors of its service.
CREATE TABLE learned_models (
    installation      INTEGER NOT NULL REFERENCES installations (key) ON DELETE CASCADE,
    model             TEXT NOT NULL,
    context_window    INTEGER,
    max_output_tokens INTEGER,
    adaptations       TEXT NOT NULL DEFAULT '[]',
    learned_at        TEXT NOT NULL,
    PRIMARY KEY (installation, model)
) STRICT;
