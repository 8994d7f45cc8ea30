-- What the operator consented to, of what the component asks for, and of what the one before did: a
-- JSON list of names.
ALTER TABLE skills ADD COLUMN accepted TEXT NOT NULL DEFAULT '[]';
ALTER TABLE skills ADD COLUMN previous_accepted TEXT NOT NULL DEFAULT '[]';
