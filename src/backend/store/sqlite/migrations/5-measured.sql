-- When a scheduled check was measured last, as far as its agent says so.
ALTER TABLE health_checks ADD COLUMN measured INTEGER;
