-- What a source did in a whole UTC day, so that a feed of seven days reads six rows of a source and not up to 144. A feed's window
-- begins and ends at any full hour: its two ends are read from strandline.sighting, which is kept for some ten days only.
CREATE TABLE strandline.sighting_day (
    hour            timestamptz NOT NULL,   -- the day's beginning; named so that make_partition and maintain serve it as well
    first_seen      timestamptz NOT NULL,
    last_seen       timestamptz NOT NULL,
    events          bigint NOT NULL,
    verified_events bigint NOT NULL,
    category        text NOT NULL,
    saddr           inet NOT NULL,
    PRIMARY KEY (category, hour, saddr)
) PARTITION BY RANGE (hour);

ALTER TABLE strandline.retention DROP CONSTRAINT retention_what_check;
ALTER TABLE strandline.retention ADD CONSTRAINT retention_what_check
    CHECK (what IN ('event', 'sighting', 'sighting_day', 'reject'));
-- What was said of sightings so far is meant for the days. A feed needs the hours of its window's first day: eight days, and some
-- for a publisher that was away.
INSERT INTO strandline.retention SELECT 'sighting_day', days FROM strandline.retention WHERE what = 'sighting';
UPDATE strandline.retention SET days = 10 WHERE what = 'sighting';

CREATE OR REPLACE FUNCTION strandline.ensure_day(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    kept  integer := (SELECT days FROM strandline.retention WHERE what = 'event');
BEGIN
    IF day < today - kept OR day > today + 2 THEN
        RETURN false;
    END IF;
    PERFORM strandline.make_partition('event', day);
    PERFORM strandline.make_partition('sighting', day);
    PERFORM strandline.make_partition('sighting_day', day);
    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION strandline.maintain(OUT made integer, OUT dropped integer, OUT rejects_deleted bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '20s'  -- dropping waits for readers, and the loader would wait behind it: rather try again later
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    old   record;
BEGIN
    made := 0;
    dropped := 0;
    FOR ahead IN -1..7 LOOP
        made := made + strandline.make_partition('event', today + ahead)::integer
                     + strandline.make_partition('sighting', today + ahead)::integer
                     + strandline.make_partition('sighting_day', today + ahead)::integer;
    END LOOP;
    FOR old IN
        SELECT c.relname
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        JOIN pg_class p ON p.oid = i.inhparent
        JOIN strandline.retention r ON r.what = p.relname
        WHERE p.relnamespace = 'strandline'::regnamespace AND c.relkind = 'r'
          AND c.relname ~ '_p[0-9]{8}$'
          AND to_date(right(c.relname, 8), 'YYYYMMDD') < today - r.days
    LOOP
        EXECUTE format('DROP TABLE strandline.%I', old.relname);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM strandline.reject
    WHERE rejected_at < now() - make_interval(days => (SELECT days FROM strandline.retention WHERE what = 'reject'));
    GET DIAGNOSTICS rejects_deleted = ROW_COUNT;
END
$$;

-- Makes the days' partitions, which whoever changes sightings needs.
CREATE FUNCTION strandline.make_sighting_days(days timestamptz[]) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT strandline.make_partition('sighting_day', day)
    FROM (SELECT DISTINCT (moment AT TIME ZONE 'UTC')::date AS day FROM unnest(days) AS moment) d
$$;

-- Keeps the days in step with whatever changes the hours: settling, counting anew, a canary that is taken out. An event that comes
-- late changes an hour of its own day, and so that day, however old. Each statement's changes are added up first: a source counts
-- once for each of its days. (To drop an hour partition that has outlived its retention fires no trigger: the days stay.)
CREATE FUNCTION strandline.roll_up_new() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM strandline.make_sighting_days((SELECT array_agg(DISTINCT date_trunc('day', hour, 'UTC')) FROM new_rows));
    INSERT INTO strandline.sighting_day AS d (category, hour, saddr, first_seen, last_seen, events, verified_events)
    SELECT category, date_trunc('day', hour, 'UTC') AS day, saddr, min(first_seen), max(last_seen), sum(events), sum(verified_events)
    FROM new_rows GROUP BY category, day, saddr
    -- Sorted: two who add lock the same rows in the same order.
    ORDER BY category, day, saddr
    ON CONFLICT (category, hour, saddr) DO UPDATE SET
        first_seen = least(d.first_seen, excluded.first_seen),
        last_seen = greatest(d.last_seen, excluded.last_seen),
        events = d.events + excluded.events,
        verified_events = d.verified_events + excluded.verified_events;
    RETURN NULL;
END
$$;

CREATE FUNCTION strandline.roll_up_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Nearly every statement that may change a row changes none: what is settled is new.
    IF NOT EXISTS (SELECT FROM new_rows) THEN
        RETURN NULL;
    END IF;
    INSERT INTO strandline.sighting_day AS d (category, hour, saddr, first_seen, last_seen, events, verified_events)
    SELECT category, date_trunc('day', hour, 'UTC') AS day, saddr, min(first_seen), max(last_seen), sum(events), sum(verified_events)
    FROM (
        SELECT category, hour, saddr, first_seen, last_seen, events, verified_events FROM new_rows
        UNION ALL
        SELECT category, hour, saddr, first_seen, last_seen, -events, -verified_events FROM old_rows
    ) changed
    GROUP BY category, day, saddr
    ORDER BY category, day, saddr
    ON CONFLICT (category, hour, saddr) DO UPDATE SET
        first_seen = least(d.first_seen, excluded.first_seen),
        last_seen = greatest(d.last_seen, excluded.last_seen),
        events = d.events + excluded.events,
        verified_events = d.verified_events + excluded.verified_events;
    RETURN NULL;
END
$$;

CREATE FUNCTION strandline.roll_up_gone() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- First and last time can't be subtracted: the day is added up again from the hours that are left.
    DELETE FROM strandline.sighting_day d
    USING (SELECT DISTINCT category, date_trunc('day', hour, 'UTC') AS day, saddr FROM old_rows) o
    WHERE d.category = o.category AND d.hour = o.day AND d.saddr = o.saddr;
    INSERT INTO strandline.sighting_day (category, hour, saddr, first_seen, last_seen, events, verified_events)
    SELECT s.category, o.day, s.saddr, min(s.first_seen), max(s.last_seen), sum(s.events), sum(s.verified_events)
    FROM (SELECT DISTINCT category, date_trunc('day', hour, 'UTC') AS day, saddr FROM old_rows) o
    JOIN strandline.sighting s ON s.category = o.category AND s.saddr = o.saddr
        AND s.hour >= o.day AND s.hour < o.day + interval '24 hours'
    GROUP BY s.category, o.day, s.saddr;
    RETURN NULL;
END
$$;

-- What was there before, with its partitions.
SELECT strandline.make_sighting_days((SELECT array_agg(DISTINCT date_trunc('day', hour, 'UTC')) FROM strandline.sighting));
INSERT INTO strandline.sighting_day (category, hour, saddr, first_seen, last_seen, events, verified_events)
SELECT category, date_trunc('day', hour, 'UTC') AS day, saddr, min(first_seen), max(last_seen), sum(events), sum(verified_events)
FROM strandline.sighting GROUP BY category, day, saddr ORDER BY category, day, saddr;

CREATE TRIGGER roll_up_new AFTER INSERT ON strandline.sighting
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION strandline.roll_up_new();
CREATE TRIGGER roll_up_changed AFTER UPDATE ON strandline.sighting
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION strandline.roll_up_changed();
CREATE TRIGGER roll_up_gone AFTER DELETE ON strandline.sighting
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION strandline.roll_up_gone();

-- Forgets a category's day before it is counted anew: the hours of a day that has outlived their retention say nothing of it.
CREATE FUNCTION strandline.forget_day(category text, day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    begins timestamptz := day::timestamp AT TIME ZONE 'UTC';
BEGIN
    PERFORM strandline.make_partition('sighting', day);
    PERFORM strandline.make_partition('sighting_day', day);
    DELETE FROM strandline.sighting s WHERE s.category = forget_day.category
        AND s.hour >= begins AND s.hour < begins + interval '24 hours';
    DELETE FROM strandline.sighting_day d WHERE d.category = forget_day.category AND d.hour = begins;
END
$$;

-- The sources of a category seen in the hours [window_start, window_end): whole days from the days, the two ends from the hours.
CREATE OR REPLACE FUNCTION strandline.feed(category text, window_start timestamptz, window_end timestamptz)
RETURNS TABLE (saddr inet, first_seen timestamptz, last_seen timestamptz, events bigint, verified_events bigint)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT s.saddr, min(s.first_seen), max(s.last_seen), sum(s.events)::bigint, sum(s.verified_events)::bigint
    FROM (
        SELECT * FROM strandline.sighting_day d
        WHERE d.category = feed.category
          AND d.hour >= date_trunc('day', feed.window_start + interval '86399.999999 seconds', 'UTC')
          AND d.hour < date_trunc('day', feed.window_end, 'UTC')
        UNION ALL
        SELECT * FROM strandline.sighting h
        WHERE h.category = feed.category
          AND h.hour >= feed.window_start
          AND h.hour < least(date_trunc('day', feed.window_start + interval '86399.999999 seconds', 'UTC'), feed.window_end)
        UNION ALL
        SELECT * FROM strandline.sighting t
        WHERE t.category = feed.category
          AND t.hour >= greatest(date_trunc('day', feed.window_start + interval '86399.999999 seconds', 'UTC'),
                                 date_trunc('day', feed.window_end, 'UTC'))
          AND t.hour < feed.window_end
        UNION ALL
        SELECT * FROM strandline.sighting_fresh f
        WHERE f.category = feed.category AND f.hour >= feed.window_start AND f.hour < feed.window_end
    ) s
    GROUP BY s.saddr
$$;

REVOKE ALL ON FUNCTION strandline.make_sighting_days(timestamptz[]), strandline.roll_up_new(), strandline.roll_up_changed(),
    strandline.roll_up_gone(), strandline.forget_day(text, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strandline.forget_day(text, date) TO strandline_loader;
GRANT SELECT ON strandline.sighting_day TO strandline_loader, strandline_publisher;

SELECT strandline.maintain();
