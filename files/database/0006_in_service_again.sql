-- A name that is leased again is in service from its first new run on. A run that began before, and whose events were loaded late,
-- changes nothing. A run's name begins with its time in microseconds; it is the sensor's word, so it may be anything.
CREATE FUNCTION strandline.in_service_again() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.run ~ '^[0-9]{16}-' THEN
        UPDATE strandline.sensor SET retired_at = NULL
        WHERE id = NEW.sensor_id AND retired_at < to_timestamp(left(NEW.run, 16)::bigint / 1e6);
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION strandline.in_service_again() FROM PUBLIC;
CREATE TRIGGER in_service_again AFTER INSERT ON strandline.run FOR EACH ROW EXECUTE FUNCTION strandline.in_service_again();
