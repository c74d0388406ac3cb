-- What failed in a case may be measured no more.
CREATE TABLE health_cases_next (
    case_id    TEXT PRIMARY KEY REFERENCES cases (id),
    agent_id   TEXT NOT NULL REFERENCES agents (id),
    schedule   TEXT NOT NULL,
    target     TEXT NOT NULL,
    opened     INTEGER NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('collecting', 'failing', 'recovered', 'removed', 'closed')),
    since      INTEGER NOT NULL,
    failures   INTEGER NOT NULL,
    -- Alerts of this case within the hour that began at told_since.
    told       INTEGER NOT NULL DEFAULT 0,
    told_since INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO health_cases_next SELECT case_id, agent_id, schedule, target, opened, state, since, failures, told, told_since FROM health_cases;
DROP TABLE health_cases;
ALTER TABLE health_cases_next RENAME TO health_cases;
CREATE UNIQUE INDEX health_cases_open ON health_cases (agent_id, schedule, target) WHERE state <> 'closed';
CREATE INDEX health_cases_of ON health_cases (agent_id, schedule, target, opened);
