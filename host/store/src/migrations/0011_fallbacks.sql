-- Models that an agent's runs go on with when its own fails: a list of providers and models.
ALTER TABLE agents ADD COLUMN fallbacks TEXT NOT NULL DEFAULT '[]';

-- How many of a provider's completions run at once; where it is NULL, as the configuration says.
ALTER TABLE providers ADD COLUMN concurrency INTEGER;
