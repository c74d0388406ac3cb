-- Times are microseconds since 1970. Structures without columns of their own are JSON.

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE cases (
    id      TEXT PRIMARY KEY,
    opened  INTEGER NOT NULL,
    updated INTEGER NOT NULL
) STRICT;
CREATE INDEX cases_by_update ON cases (updated);

CREATE TABLE tickets (
    id         TEXT PRIMARY KEY,
    case_id    TEXT NOT NULL REFERENCES cases (id),
    set_name   TEXT NOT NULL,
    set_sha256 TEXT NOT NULL,
    targets    TEXT NOT NULL,
    parameters TEXT NOT NULL,
    proof_key  BLOB NOT NULL,
    created    INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('open', 'used', 'revoked')),
    used_by    TEXT CHECK ((status = 'used') = (used_by IS NOT NULL))
) STRICT;
CREATE INDEX tickets_by_case ON tickets (case_id, created);

CREATE TABLE uploads (
    id        TEXT PRIMARY KEY,
    bundle_id TEXT NOT NULL,
    ticket_id TEXT NOT NULL REFERENCES tickets (id),
    key       BLOB NOT NULL,
    length    INTEGER NOT NULL,
    offset    INTEGER NOT NULL CHECK (offset BETWEEN 0 AND length),
    touched   INTEGER NOT NULL
) STRICT;
CREATE INDEX uploads_by_ticket ON uploads (ticket_id);

CREATE TABLE bundles (
    id           TEXT PRIMARY KEY,
    file_sha256  TEXT NOT NULL,
    size_bytes   INTEGER NOT NULL,
    key          BLOB NOT NULL,
    ticket_id    TEXT NOT NULL UNIQUE REFERENCES tickets (id),
    case_id      TEXT NOT NULL REFERENCES cases (id),
    set_name     TEXT NOT NULL,
    received     INTEGER NOT NULL,
    receipt      BLOB NOT NULL,
    agent        TEXT NOT NULL,
    backend      TEXT NOT NULL,
    diagnosed_by TEXT NOT NULL
) STRICT;
CREATE INDEX bundles_by_file ON bundles (file_sha256);
CREATE INDEX bundles_by_case ON bundles (case_id, received);

CREATE TABLE sessions (
    digest     BLOB PRIMARY KEY,
    form_token TEXT NOT NULL,
    expires    INTEGER NOT NULL
) STRICT;
