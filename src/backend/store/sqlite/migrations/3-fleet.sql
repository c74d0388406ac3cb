-- Enrolled agents, what they are asked, and what became of it. A bundle belongs to a ticket, or to an agent's order.

CREATE TABLE enrolments (
    id        TEXT PRIMARY KEY,
    proof_key BLOB NOT NULL,
    uses      INTEGER NOT NULL,
    labels    TEXT NOT NULL,
    created   INTEGER NOT NULL,
    expires   INTEGER NOT NULL
) STRICT;

CREATE TABLE agents (
    id               TEXT PRIMARY KEY,
    bundle_key       BLOB NOT NULL,
    transport_key    BLOB NOT NULL,
    transport_key_id TEXT NOT NULL,
    number           INTEGER NOT NULL,
    introduction     BLOB NOT NULL,
    host_name        TEXT,
    labels           TEXT NOT NULL,
    enrolled         INTEGER NOT NULL,
    last_seen        INTEGER,
    check_in         TEXT NOT NULL,
    link             BLOB,
    link_before      BLOB,
    cloned           INTEGER NOT NULL DEFAULT 0,
    revoked          INTEGER NOT NULL DEFAULT 0,
    replaced_by      TEXT,
    replaced         INTEGER
) STRICT;
CREATE INDEX agents_by_transport_key ON agents (transport_key_id);

-- Which agent used which code: it may use it again where the answer was lost.
CREATE TABLE enrolment_uses (
    enrolment_id TEXT NOT NULL REFERENCES enrolments (id),
    agent_id     TEXT NOT NULL REFERENCES agents (id),
    PRIMARY KEY (enrolment_id, agent_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE nonces (
    agent_id TEXT NOT NULL,
    nonce    TEXT NOT NULL,
    until    INTEGER NOT NULL,
    PRIMARY KEY (agent_id, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX nonces_by_end ON nonces (until);

-- One row: what agents are told has a number that only grows, across everything.
CREATE TABLE sequence (value INTEGER NOT NULL) STRICT;
INSERT INTO sequence VALUES (0);

CREATE TABLE orders (
    id             TEXT PRIMARY KEY,
    case_id        TEXT NOT NULL REFERENCES cases (id),
    set_name       TEXT NOT NULL,
    set_sha256     TEXT NOT NULL,
    targets        TEXT NOT NULL,
    requester      TEXT NOT NULL,
    reason         TEXT NOT NULL,
    signers        TEXT NOT NULL,
    envelope       TEXT NOT NULL,
    submitted      INTEGER NOT NULL,
    not_before     INTEGER NOT NULL,
    expires        INTEGER NOT NULL,
    cancelled      INTEGER NOT NULL DEFAULT 0,
    stopped        INTEGER NOT NULL DEFAULT 0,
    stop_at_failed INTEGER,
    -- Its time has passed and what nobody took was ended.
    over           INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX orders_by_case ON orders (case_id, submitted);
CREATE INDEX orders_by_time ON orders (submitted);
CREATE INDEX orders_by_end ON orders (expires) WHERE NOT over;

CREATE TABLE deliveries (
    order_id        TEXT NOT NULL REFERENCES orders (id),
    agent_id        TEXT NOT NULL REFERENCES agents (id),
    wave            INTEGER NOT NULL,
    proof           TEXT,
    state           TEXT NOT NULL,
    changed         INTEGER NOT NULL,
    -- None before the wave's turn.
    sequence        INTEGER,
    cancel_sequence INTEGER,
    code            TEXT,
    detail          TEXT,
    bundle_id       TEXT,
    progress        INTEGER NOT NULL DEFAULT 0,
    progress_bytes  INTEGER NOT NULL DEFAULT 0,
    checks_planned  INTEGER NOT NULL DEFAULT 0,
    checks_done     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (order_id, agent_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_agent ON deliveries (agent_id, sequence);
CREATE INDEX deliveries_by_cancel ON deliveries (agent_id, cancel_sequence) WHERE cancel_sequence IS NOT NULL;
CREATE INDEX deliveries_by_wave ON deliveries (order_id, wave, state);

CREATE INDEX deliveries_waiting ON deliveries (order_id, wave) WHERE sequence IS NULL;

CREATE TABLE progress (
    order_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    outcomes TEXT NOT NULL,
    PRIMARY KEY (order_id, agent_id, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE drafts (
    id    TEXT PRIMARY KEY,
    made  INTEGER NOT NULL,
    draft TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
    number  INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL,
    sha256  TEXT NOT NULL
) STRICT;

CREATE TABLE uploads_next (
    id        TEXT PRIMARY KEY,
    bundle_id TEXT NOT NULL,
    ticket_id TEXT REFERENCES tickets (id),
    agent_id  TEXT REFERENCES agents (id),
    key       BLOB NOT NULL,
    length    INTEGER NOT NULL,
    offset    INTEGER NOT NULL CHECK (offset BETWEEN 0 AND length),
    touched   INTEGER NOT NULL,
    CHECK ((ticket_id IS NULL) <> (agent_id IS NULL))
) STRICT;
INSERT INTO uploads_next SELECT id, bundle_id, ticket_id, NULL, key, length, offset, touched FROM uploads;
DROP TABLE uploads;
ALTER TABLE uploads_next RENAME TO uploads;
CREATE INDEX uploads_by_ticket ON uploads (ticket_id);
CREATE INDEX uploads_by_agent ON uploads (agent_id);

CREATE TABLE bundles_next (
    id           TEXT PRIMARY KEY,
    file_sha256  TEXT NOT NULL,
    size_bytes   INTEGER NOT NULL,
    key          BLOB NOT NULL,
    ticket_id    TEXT UNIQUE REFERENCES tickets (id),
    agent_id     TEXT REFERENCES agents (id),
    order_id     TEXT REFERENCES orders (id),
    case_id      TEXT NOT NULL REFERENCES cases (id),
    set_name     TEXT NOT NULL,
    received     INTEGER NOT NULL,
    receipt      BLOB NOT NULL,
    agent        TEXT NOT NULL,
    backend      TEXT NOT NULL,
    diagnosed_by TEXT NOT NULL,
    state        TEXT,
    cause        TEXT,
    CHECK ((ticket_id IS NULL) = (agent_id IS NOT NULL AND order_id IS NOT NULL))
) STRICT;
INSERT INTO bundles_next
    SELECT id, file_sha256, size_bytes, key, ticket_id, NULL, NULL, case_id, set_name, received, receipt, agent, backend, diagnosed_by, state, cause
    FROM bundles;
DROP TABLE bundles;
ALTER TABLE bundles_next RENAME TO bundles;
CREATE INDEX bundles_by_file ON bundles (file_sha256);
CREATE INDEX bundles_by_case ON bundles (case_id, received);
CREATE UNIQUE INDEX bundles_by_delivery ON bundles (order_id, agent_id) WHERE order_id IS NOT NULL;
