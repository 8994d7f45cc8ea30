-- A deletion looks for the rows that refer to the deleted one: without an index it reads their whole table.
CREATE INDEX providers_digest ON providers (digest);
CREATE INDEX questions_session ON questions (session);
CREATE INDEX runs_session ON runs (session, position);
CREATE INDEX sessions_agent ON sessions (agent, id);
CREATE INDEX skills_previous ON skills (previous) WHERE previous IS NOT NULL;
