-- What a list of cases shows of a bundle, so that no list reads whole diagnoses.
ALTER TABLE bundles ADD COLUMN state TEXT;
ALTER TABLE bundles ADD COLUMN cause TEXT;
UPDATE bundles SET state = json_extract(backend, '$.state'), cause = json_extract(backend, '$.findings[0].cause');
