-- What changed of an order's deliveries is told without the rest, each page of them is read without the others, and one agent without the fleet.

-- One row: each change of a delivery has a number of its own, and a later change a larger one.
CREATE TABLE revisions (value INTEGER NOT NULL) STRICT;
INSERT INTO revisions VALUES (0);
ALTER TABLE deliveries ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
UPDATE deliveries SET revision = numbered.number
    FROM (SELECT order_id AS of_order, agent_id AS of_agent, row_number() OVER (ORDER BY order_id, agent_id) AS number FROM deliveries) AS numbered
    WHERE order_id = of_order AND agent_id = of_agent;
UPDATE revisions SET value = (SELECT count(*) FROM deliveries);
CREATE INDEX deliveries_by_revision ON deliveries (order_id, revision);
-- By whichever statement it is changed.
CREATE TRIGGER deliveries_revised
    AFTER UPDATE OF agent_id, state, changed, code, detail, bundle_id, checks_planned, checks_done ON deliveries
BEGIN
    UPDATE revisions SET value = value + 1;
    UPDATE deliveries SET revision = (SELECT value FROM revisions) WHERE order_id = NEW.order_id AND agent_id = NEW.agent_id;
END;

CREATE INDEX deliveries_by_state ON deliveries (order_id, state, wave);
CREATE INDEX agents_by_host_name ON agents (host_name);
