-- Models that an agent's runs go on with when its own fails: a list of providers and models.
ALTER TABLE agents ADD COLUMN fallbacks TEXT NOT NULL DEFAULT '[]';
