-- What a client says was said before the run, as it tells a conversation that it keeps itself.
ALTER TABLE messages ADD COLUMN quoted INTEGER NOT NULL DEFAULT 0;

-- Of a run that nobody attends: it can ask nobody.
ALTER TABLE runs ADD COLUMN unattended INTEGER NOT NULL DEFAULT 0;
