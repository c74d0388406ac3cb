-- How scheduled checks are, the cases that come of it, and who is told. A bundle may also be a schedule's, or have been brought by an engineer.

CREATE TABLE health_reports (
    agent_id     TEXT PRIMARY KEY REFERENCES agents (id),
    -- The agent's changes up to this number are kept.
    heard        INTEGER NOT NULL,
    reported     INTEGER NOT NULL,
    silent_after INTEGER NOT NULL,
    -- Its silence was noticed.
    silent       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX health_reports_by_silence ON health_reports (silent_after) WHERE NOT silent;

-- As each agent last told them; of a silent agent they say nothing. No target is the empty text.
CREATE TABLE health_checks (
    agent_id TEXT NOT NULL REFERENCES agents (id),
    schedule TEXT NOT NULL,
    name     TEXT NOT NULL,
    target   TEXT NOT NULL,
    kind     TEXT NOT NULL,
    required INTEGER NOT NULL,
    health   TEXT NOT NULL,
    since    INTEGER NOT NULL,
    silenced INTEGER NOT NULL,
    PRIMARY KEY (agent_id, schedule, target, name)
) STRICT, WITHOUT ROWID;

-- Cases that were opened by themselves: one that is open for an agent, a schedule and a target.
CREATE TABLE health_cases (
    case_id    TEXT PRIMARY KEY REFERENCES cases (id),
    agent_id   TEXT NOT NULL REFERENCES agents (id),
    schedule   TEXT NOT NULL,
    target     TEXT NOT NULL,
    opened     INTEGER NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('collecting', 'failing', 'recovered', 'closed')),
    since      INTEGER NOT NULL,
    failures   INTEGER NOT NULL,
    -- Alerts of this case within the hour that began at told_since.
    told       INTEGER NOT NULL DEFAULT 0,
    told_since INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX health_cases_open ON health_cases (agent_id, schedule, target) WHERE state <> 'closed';
CREATE INDEX health_cases_of ON health_cases (agent_id, schedule, target, opened);

CREATE TABLE health_changes (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    agent_id  TEXT NOT NULL REFERENCES agents (id),
    -- The agent's own; none where this program noticed the change.
    number    INTEGER,
    at        INTEGER NOT NULL,
    kept      INTEGER NOT NULL,
    -- Both none where it is a change of the whole agent.
    schedule  TEXT,
    target    TEXT,
    change    TEXT,
    presence  TEXT CHECK (presence IN ('silent', 'heard')),
    bundle_id TEXT,
    case_id   TEXT REFERENCES cases (id),
    CHECK ((change IS NULL) = (presence IS NOT NULL)),
    UNIQUE (agent_id, number)
) STRICT;
CREATE INDEX health_changes_of ON health_changes (agent_id, schedule, target, at);
CREATE INDEX health_changes_by_bundle ON health_changes (bundle_id) WHERE bundle_id IS NOT NULL;

-- What waits to be sent, and what became of it. The id is the same however often it is sent.
CREATE TABLE outbox (
    id       TEXT PRIMARY KEY,
    channel  TEXT NOT NULL,
    event    TEXT NOT NULL,
    alert    TEXT NOT NULL,
    made     INTEGER NOT NULL,
    next     INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    state    TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'given_up')),
    trouble  TEXT,
    finished INTEGER,
    CHECK ((state = 'waiting') = (finished IS NULL))
) STRICT;
CREATE INDEX outbox_due ON outbox (channel, next) WHERE state = 'waiting';
CREATE INDEX outbox_by_time ON outbox (made);
CREATE INDEX outbox_by_end ON outbox (finished) WHERE finished IS NOT NULL;

CREATE TABLE bundles_next (
    id           TEXT PRIMARY KEY,
    file_sha256  TEXT NOT NULL,
    size_bytes   INTEGER NOT NULL,
    key          BLOB NOT NULL,
    ticket_id    TEXT UNIQUE REFERENCES tickets (id),
    agent_id     TEXT REFERENCES agents (id),
    order_id     TEXT REFERENCES orders (id),
    -- The bundle's own word of its schedule, as JSON.
    scheduled    TEXT,
    case_id      TEXT NOT NULL REFERENCES cases (id),
    set_name     TEXT NOT NULL,
    received     INTEGER NOT NULL,
    receipt      BLOB NOT NULL,
    agent        TEXT NOT NULL,
    backend      TEXT NOT NULL,
    diagnosed_by TEXT NOT NULL,
    state        TEXT,
    cause        TEXT,
    -- A ticket's, an order's, a schedule's, or brought by an engineer.
    CHECK (CASE WHEN ticket_id IS NOT NULL THEN agent_id IS NULL AND order_id IS NULL AND scheduled IS NULL
                WHEN agent_id IS NOT NULL THEN (order_id IS NULL) <> (scheduled IS NULL)
                ELSE order_id IS NULL AND scheduled IS NULL END)
) STRICT;
INSERT INTO bundles_next
    SELECT id, file_sha256, size_bytes, key, ticket_id, agent_id, order_id, NULL, case_id, set_name, received, receipt, agent, backend, diagnosed_by, state, cause
    FROM bundles;
DROP TABLE bundles;
ALTER TABLE bundles_next RENAME TO bundles;
CREATE INDEX bundles_by_file ON bundles (file_sha256);
CREATE INDEX bundles_by_case ON bundles (case_id, received);
CREATE UNIQUE INDEX bundles_by_delivery ON bundles (order_id, agent_id) WHERE order_id IS NOT NULL;
CREATE INDEX bundles_by_schedule ON bundles (agent_id, received) WHERE scheduled IS NOT NULL;
