-- Who may use a secret: a skill of an agent, or a provider, as long as it is this very component.
CREATE TABLE grants (
    id          TEXT PRIMARY KEY,
    secret      TEXT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    -- By which name the component asks for it.
    name        TEXT NOT NULL,
    agent       INTEGER,
    skill       TEXT,
    provider    TEXT REFERENCES providers (id) ON DELETE CASCADE,
    digest      TEXT NOT NULL,
    mode        TEXT NOT NULL,
    hosts       TEXT NOT NULL,
    place       TEXT NOT NULL,
    expires_at  TEXT,
    max_uses    INTEGER,
    uses        INTEGER NOT NULL DEFAULT 0,
    granted_by  TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    FOREIGN KEY (agent, skill) REFERENCES skills (agent, id) ON DELETE CASCADE,
    CHECK ((agent IS NULL) = (skill IS NULL) AND (agent IS NULL) <> (provider IS NULL))
) STRICT;

CREATE INDEX grants_secret ON grants (secret);
CREATE INDEX grants_skill ON grants (agent, skill, digest);
CREATE INDEX grants_provider ON grants (provider, digest);

-- What a provider may reach beside its public hosts, by name.
ALTER TABLE providers ADD COLUMN accepted TEXT NOT NULL DEFAULT '[]';

-- The interfaces that a component imports; unknown of those that were installed before.
ALTER TABLE components ADD COLUMN imports TEXT;
