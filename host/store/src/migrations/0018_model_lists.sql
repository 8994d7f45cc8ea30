-- The models of a provider, as it listed them last with this component and configuration.
CREATE TABLE model_lists (
    installation INTEGER PRIMARY KEY REFERENCES installations (key) ON DELETE CASCADE,
    digest       TEXT NOT NULL,
    config       TEXT NOT NULL,
    models       TEXT NOT NULL,
    listed_at    TEXT NOT NULL
) STRICT;
