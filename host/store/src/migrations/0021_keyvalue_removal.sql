-- Key-value data of a removed skill or agent is removed in pieces by a job, so it does not refer to them.
CREATE TABLE new_keyvalue (
    installation INTEGER NOT NULL,
    agent        INTEGER NOT NULL,
    key          TEXT NOT NULL,
    value        BLOB NOT NULL,
    PRIMARY KEY (installation, agent, key)
) STRICT;
INSERT INTO new_keyvalue SELECT installation, agent, key, value FROM keyvalue;
DROP TABLE keyvalue;
ALTER TABLE new_keyvalue RENAME TO keyvalue;
CREATE INDEX keyvalue_agent ON keyvalue (agent);
