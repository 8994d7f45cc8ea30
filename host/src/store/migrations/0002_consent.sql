-- What the operator consented to, of what the skill asks for: a JSON list of names.
ALTER TABLE skills ADD COLUMN accepted TEXT NOT NULL DEFAULT '[]';
