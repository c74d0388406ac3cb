-- Whom an entry of the audit log concerns, and what keeps it from being found out by trying. Entries of before have neither.
ALTER TABLE audit ADD COLUMN about TEXT NOT NULL DEFAULT '[]';
ALTER TABLE audit ADD COLUMN salt TEXT;
