-- What came of the last check of each provider, of which component and configuration.
CREATE TABLE provider_checks (
    provider    TEXT PRIMARY KEY REFERENCES providers (id) ON DELETE CASCADE,
    digest      TEXT NOT NULL,
    config      TEXT NOT NULL,
    report      TEXT NOT NULL,
    checked_at  TEXT NOT NULL
) STRICT;
