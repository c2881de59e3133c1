-- Sensors whose lease has ended. Their events, runs and account stay; nobody waits for them any more.
ALTER TABLE strandline.sensor ADD COLUMN retired_at timestamptz;  -- NULL: in service
GRANT SELECT (retired_at) ON strandline.sensor TO strandline_loader;
