-- What the loader's transactions saw, before it is added to the sightings. To add to a sighting costs twice what it costs to store
-- an event; to note it here costs little, and a source that many transactions saw is then added once.
CREATE TABLE strandline.sighting_fresh (LIKE strandline.sighting);
ALTER TABLE strandline.sighting_fresh SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100000,
                                           autovacuum_vacuum_cost_delay = 0);

-- Adds what is fresh to the sightings. Returns how many sightings that changed. Whoever reads strandline.sighting itself calls
-- it first; strandline.feed sees both.
CREATE FUNCTION strandline.settle_sightings() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    settled bigint;
BEGIN
    -- Retention may have dropped a day that events came for late.
    PERFORM strandline.make_partition('sighting', day)
    FROM (SELECT DISTINCT (hour AT TIME ZONE 'UTC')::date AS day FROM strandline.sighting_fresh) d;
    WITH taken AS (DELETE FROM strandline.sighting_fresh RETURNING *)
    INSERT INTO strandline.sighting AS s (category, hour, saddr, first_seen, last_seen, events, verified_events)
    SELECT category, hour, saddr, min(first_seen), max(last_seen), sum(events), sum(verified_events)
    FROM taken GROUP BY category, hour, saddr
    -- Sorted: two who settle lock the same rows in the same order.
    ORDER BY category, hour, saddr
    ON CONFLICT (category, hour, saddr) DO UPDATE SET
        first_seen = least(s.first_seen, excluded.first_seen),
        last_seen = greatest(s.last_seen, excluded.last_seen),
        events = s.events + excluded.events,
        verified_events = s.verified_events + excluded.verified_events;
    GET DIAGNOSTICS settled = ROW_COUNT;
    RETURN settled;
END
$$;

-- The sources of a category seen in the hours [window_start, window_end).
CREATE OR REPLACE FUNCTION strandline.feed(category text, window_start timestamptz, window_end timestamptz)
RETURNS TABLE (saddr inet, first_seen timestamptz, last_seen timestamptz, events bigint, verified_events bigint)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT s.saddr, min(s.first_seen), max(s.last_seen), sum(s.events)::bigint, sum(s.verified_events)::bigint
    FROM (SELECT * FROM strandline.sighting UNION ALL SELECT * FROM strandline.sighting_fresh) s
    WHERE s.category = feed.category AND s.hour >= feed.window_start AND s.hour < feed.window_end
    GROUP BY s.saddr
$$;

REVOKE ALL ON FUNCTION strandline.settle_sightings() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strandline.settle_sightings() TO strandline_loader;
GRANT SELECT, INSERT, DELETE ON strandline.sighting_fresh TO strandline_loader;
GRANT SELECT ON strandline.sighting_fresh TO strandline_publisher;
