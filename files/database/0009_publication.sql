-- What a publisher has to know of the events' way to be honest about its feeds, and what it says of its runs.

-- When a collector's loader last got ahead. Sensors are heard every few minutes, so this stands still only when the collector does.
ALTER TABLE strandline.spool_position ADD COLUMN moved_at timestamptz NOT NULL DEFAULT now();
CREATE FUNCTION strandline.note_move() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.moved_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER note_move BEFORE UPDATE ON strandline.spool_position FOR EACH ROW EXECUTE FUNCTION strandline.note_move();

-- The database's clock, the time of the newest event that is not from a clock ahead of it, and for each collector of the last five
-- weeks when its loader last got ahead.
CREATE FUNCTION strandline.feed_status(OUT clock timestamptz, OUT newest_event timestamptz, OUT collectors jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    day timestamptz;
BEGIN
    clock := now();
    SELECT max(f.last_seen) INTO newest_event FROM strandline.sighting_fresh f WHERE f.last_seen <= clock;
    -- Day by day backwards: most often the first one has it.
    FOR day IN SELECT date_trunc('day', clock, 'UTC') - make_interval(hours => 24 * back) FROM generate_series(0, 60) back LOOP
        EXIT WHEN newest_event >= day + interval '24 hours';
        SELECT greatest(newest_event, max(d.last_seen)) INTO newest_event FROM strandline.sighting_day d
        WHERE d.hour = day AND d.last_seen <= clock;
        EXIT WHEN newest_event >= day;
    END LOOP;
    SELECT coalesce(jsonb_object_agg(p.collector, p.moved_at), '{}') INTO collectors FROM (
        SELECT s.collector, max(s.moved_at) AS moved_at FROM strandline.spool_position s
        GROUP BY s.collector HAVING max(s.moved_at) > clock - interval '35 days'
    ) p;
END
$$;

-- The sources of a category that were never proven to be real and that several sensors have seen: whoever forges a source does
-- not know all sensors. Those with the most events first. Reads the events themselves, which costs seconds; a publisher asks
-- only when there are implausibly many such sources.
CREATE FUNCTION strandline.feed_of_several(
    category text, window_start timestamptz, window_end timestamptz, sensors integer, most bigint)
RETURNS TABLE (saddr inet, first_seen timestamptz, last_seen timestamptz, events bigint, verified_events bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT f.* FROM strandline.feed($1, $2, $3) f
    JOIN (
        SELECT e.saddr FROM strandline.event e JOIN strandline.run r ON r.id = e.run_id
        WHERE e.ts >= $2 AND e.ts < $3 AND NOT e.verified
        GROUP BY e.saddr HAVING count(DISTINCT r.sensor_id) >= $4
    ) seen USING (saddr)
    WHERE f.verified_events = 0
    ORDER BY f.events DESC, f.saddr
    LIMIT $5
$$;

-- What each publisher said of its last run.
CREATE TABLE strandline.publication (
    publisher   text PRIMARY KEY CHECK (length(publisher) <= 100),
    ran_at      timestamptz NOT NULL DEFAULT now(),
    stale_after timestamptz,              -- of what it has published; NULL when that is nothing
    problems    jsonb NOT NULL            -- [sentence, ...]: empty when all is well
) WITH (fillfactor = 50);

CREATE FUNCTION strandline.note_publication(publisher text, stale_after timestamptz, problems jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO strandline.publication AS p (publisher, ran_at, stale_after, problems)
    SELECT left($1, 100), now(), $2, coalesce(jsonb_agg(left(problem, 500)), '[]')
    FROM (SELECT problem FROM jsonb_array_elements_text($3) AS problem LIMIT 40) said
    ON CONFLICT (publisher) DO UPDATE SET
        ran_at = excluded.ran_at, stale_after = coalesce(excluded.stale_after, p.stale_after), problems = excluded.problems
$$;

REVOKE ALL ON FUNCTION strandline.note_move(), strandline.feed_status(),
    strandline.feed_of_several(text, timestamptz, timestamptz, integer, bigint),
    strandline.note_publication(text, timestamptz, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strandline.feed_status(),
    strandline.feed_of_several(text, timestamptz, timestamptz, integer, bigint),
    strandline.note_publication(text, timestamptz, jsonb) TO strandline_publisher;
GRANT SELECT, DELETE ON strandline.publication TO strandline_loader;
