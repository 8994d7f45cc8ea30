-- The agents that may use a skill that is installed for the server.
ALTER TABLE installations ADD COLUMN all_agents INTEGER NOT NULL DEFAULT 0;
CREATE TABLE installation_agents (
    installation INTEGER NOT NULL REFERENCES installations (key) ON DELETE CASCADE,
    agent        INTEGER NOT NULL REFERENCES agents (key) ON DELETE CASCADE,
    PRIMARY KEY (installation, agent)
) STRICT;
CREATE INDEX installation_agents_agent ON installation_agents (agent);
CREATE INDEX installations_kind ON installations (kind, name);
