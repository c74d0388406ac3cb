-- What an agent's scheduled bundles of a day come to is counted for each that comes: from the index alone, without the rows and all that they hold.
DROP INDEX bundles_by_schedule;
CREATE INDEX bundles_by_schedule ON bundles (agent_id, received, size_bytes) WHERE scheduled IS NOT NULL;
