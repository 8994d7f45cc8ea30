-- Components in their places: skills of agents, and providers of the server. Foreign keys are not enforced while this
-- runs; they are checked at its end.
CREATE TABLE installations (
    key               INTEGER PRIMARY KEY AUTOINCREMENT,
    id                TEXT NOT NULL UNIQUE,
    -- The agent that it is installed for; NULL: the server.
    agent             INTEGER REFERENCES agents (key) ON DELETE CASCADE,
    kind              TEXT NOT NULL,
    name              TEXT NOT NULL,
    digest            TEXT NOT NULL REFERENCES components (digest),
    config            TEXT NOT NULL,
    -- Permissions that the operator consented to, as a JSON list of names.
    accepted          TEXT NOT NULL,
    concurrency       INTEGER,
    -- The version before, to roll back to.
    previous          TEXT REFERENCES components (digest),
    previous_config   TEXT,
    previous_accepted TEXT,
    -- Counts changes.
    revision          INTEGER NOT NULL DEFAULT 1,
    created_at        TEXT NOT NULL,
    updated_at        TEXT NOT NULL
) STRICT;

INSERT INTO installations (id, agent, kind, name, digest, config, accepted, previous, previous_config,
                           previous_accepted, created_at, updated_at)
SELECT 'ins_' || lower(hex(randomblob(4))) || '-' || lower(hex(randomblob(2))) || '-7' ||
           substr(lower(hex(randomblob(2))), 2) || '-8' || substr(lower(hex(randomblob(2))), 2) || '-' ||
           lower(hex(randomblob(6))),
       agent, 'skill', id, digest, '{}', accepted, previous,
       CASE WHEN previous IS NOT NULL THEN '{}' END,
       CASE WHEN previous IS NOT NULL THEN previous_accepted END, created_at, created_at
FROM skills;
INSERT INTO installations (id, agent, kind, name, digest, config, accepted, concurrency, created_at, updated_at)
SELECT 'ins_' || lower(hex(randomblob(4))) || '-' || lower(hex(randomblob(2))) || '-7' ||
           substr(lower(hex(randomblob(2))), 2) || '-8' || substr(lower(hex(randomblob(2))), 2) || '-' ||
           lower(hex(randomblob(6))),
       NULL, 'provider', id, digest, config, accepted, concurrency, created_at, updated_at
FROM providers;

CREATE UNIQUE INDEX installations_name ON installations (COALESCE(agent, 0), kind, name);
CREATE INDEX installations_agent ON installations (agent, kind, name);
CREATE INDEX installations_digest ON installations (digest);
CREATE INDEX installations_previous ON installations (previous) WHERE previous IS NOT NULL;

CREATE TABLE new_grants (
    id           TEXT PRIMARY KEY,
    secret       TEXT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    -- By which name the component asks for it.
    name         TEXT NOT NULL,
    installation INTEGER NOT NULL REFERENCES installations (key) ON DELETE CASCADE,
    digest       TEXT NOT NULL,
    mode         TEXT NOT NULL,
    hosts        TEXT NOT NULL,
    place        TEXT NOT NULL,
    expires_at   TEXT,
    max_uses     INTEGER,
    uses         INTEGER NOT NULL DEFAULT 0,
    granted_by   TEXT NOT NULL,
    created_at   TEXT NOT NULL
) STRICT;
INSERT INTO new_grants
SELECT g.id, g.secret, g.name, i.key, g.digest, g.mode, g.hosts, g.place, g.expires_at, g.max_uses, g.uses,
       g.granted_by, g.created_at
FROM grants g JOIN installations i
     ON i.kind = 'skill' AND i.agent = g.agent AND i.name = g.skill OR i.kind = 'provider' AND i.name = g.provider;
DROP TABLE grants;
ALTER TABLE new_grants RENAME TO grants;
CREATE INDEX grants_secret ON grants (secret);
CREATE INDEX grants_installation ON grants (installation, digest);

-- What a skill keeps for an agent.
CREATE TABLE new_keyvalue (
    installation INTEGER NOT NULL REFERENCES installations (key) ON DELETE CASCADE,
    agent        INTEGER NOT NULL REFERENCES agents (key) ON DELETE CASCADE,
    key          TEXT NOT NULL,
    value        BLOB NOT NULL,
    PRIMARY KEY (installation, agent, key)
) STRICT;
INSERT INTO new_keyvalue
SELECT i.key, k.agent, k.key, k.value
FROM keyvalue k JOIN installations i ON i.kind = 'skill' AND i.agent = k.agent AND i.name = k.skill;
DROP TABLE keyvalue;
ALTER TABLE new_keyvalue RENAME TO keyvalue;
CREATE INDEX keyvalue_agent ON keyvalue (agent);

CREATE TABLE new_provider_checks (
    installation INTEGER PRIMARY KEY REFERENCES installations (key) ON DELETE CASCADE,
    digest       TEXT NOT NULL,
    config       TEXT NOT NULL,
    report       TEXT NOT NULL,
    checked_at   TEXT NOT NULL
) STRICT;
INSERT INTO new_provider_checks
SELECT i.key, c.digest, c.config, c.report, c.checked_at
FROM provider_checks c JOIN installations i ON i.kind = 'provider' AND i.name = c.provider;
DROP TABLE provider_checks;
ALTER TABLE new_provider_checks RENAME TO provider_checks;

-- An agent names its providers; a transaction that names or removes one looks for the other.
CREATE TABLE new_agents (
    key         INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL UNIQUE,
    provider    TEXT NOT NULL,
    model       TEXT NOT NULL,
    persona     TEXT,
    temperature REAL,
    limits      TEXT NOT NULL,
    fallbacks   TEXT NOT NULL DEFAULT '[]',
    tool_policy TEXT NOT NULL DEFAULT '{}',
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    deleted_at  TEXT,
    former_name TEXT,
    removed_to  INTEGER
) STRICT;
INSERT INTO new_agents
SELECT key, name, provider, model, persona, temperature, limits, fallbacks, tool_policy, created_at, updated_at,
       deleted_at, former_name, removed_to
FROM agents;
UPDATE sqlite_sequence SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'agents')
WHERE name = 'new_agents' AND EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'agents');
INSERT INTO sqlite_sequence (name, seq)
SELECT 'new_agents', seq FROM sqlite_sequence WHERE name = 'agents'
AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'new_agents');
DROP TABLE agents;
ALTER TABLE new_agents RENAME TO agents;
CREATE INDEX agents_provider ON agents (provider);
CREATE INDEX agents_former_name ON agents (former_name) WHERE former_name IS NOT NULL;

DROP TABLE skills;
DROP TABLE providers;
