-- Events, sightings and the account of both. Runs as strandline_owner in one transaction (see migrate.py).
-- Every time stamp is an instant; days and hours are UTC days and hours, whatever the session's time zone.

CREATE SCHEMA strandline;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA strandline TO strandline_loader, strandline_publisher;

-- How long things are kept, in days. The role event_database writes these rows; the functions below read them.
CREATE TABLE strandline.retention (
    what text PRIMARY KEY CHECK (what IN ('event', 'sighting', 'reject')),
    days integer NOT NULL CHECK (days BETWEEN 1 AND 3650)
);
INSERT INTO strandline.retention VALUES ('event', 90), ('sighting', 400), ('reject', 90);

CREATE TABLE strandline.sensor (
    id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE              -- the name in the certificate the sensor connected with
);

-- A run is one life of a sensor's counter: its events are numbered 1, 2, 3, ... without a gap.
-- fillfactor: high_n changes with every batch; room on the page keeps these updates off the index (HOT).
CREATE TABLE strandline.run (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sensor_id  integer NOT NULL REFERENCES strandline.sensor (id),
    run        text NOT NULL,
    high_n     bigint NOT NULL DEFAULT 0,  -- the highest n stored: a line above it cannot be a duplicate
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (sensor_id, run)
) WITH (fillfactor = 50);

-- One row for each event. No foreign key to run: it would cost a trigger for every row, and only the loader writes here.
-- The wide fixed columns stand first, so that no padding is stored between them.
CREATE TABLE strandline.event (
    ts       timestamptz NOT NULL,         -- when it happened, by the sensor's clock
    rts      timestamptz NOT NULL,         -- when the collector received it
    n        bigint NOT NULL,
    run_id   integer NOT NULL,
    sport    integer NOT NULL,
    dport    integer NOT NULL,
    verified boolean NOT NULL,             -- the source was proven to be real (TCP, or a cookie or nonce that came back)
    event    text NOT NULL,
    saddr    inet NOT NULL,
    daddr    inet NOT NULL,
    proto    text NOT NULL,
    data     jsonb NOT NULL                -- the event's own fields, the other side's bytes as \xNN
) PARTITION BY RANGE (ts);
-- A partitioned table's unique index needs the partition key; a line that is sent again keeps its time stamp.
CREATE UNIQUE INDEX event_once ON strandline.event (run_id, n, ts);
-- Rows arrive almost in the order of time: a block range index serves "between" at a thousandth of a B-tree's cost.
CREATE INDEX event_ts ON strandline.event USING brin (ts) WITH (pages_per_range = 32);

-- What the publisher reads: how often a source was seen in an hour, for each category of files/catalogue/feeds.yml.
CREATE TABLE strandline.sighting (
    hour            timestamptz NOT NULL,
    first_seen      timestamptz NOT NULL,
    last_seen       timestamptz NOT NULL,
    events          bigint NOT NULL,
    verified_events bigint NOT NULL,
    category        text NOT NULL,
    saddr           inet NOT NULL,
    PRIMARY KEY (category, hour, saddr)
) PARTITION BY RANGE (hour);

-- Lines that cannot become an event, with the reason. Two lines with one number are the same line sent again.
CREATE TABLE strandline.reject (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rejected_at timestamptz NOT NULL DEFAULT now(),
    rts         timestamptz,
    sensor      text,                      -- as far as the line could be read: NULL when it says nothing usable
    run         text,
    n           bigint,
    reason      text NOT NULL,
    raw         bytea NOT NULL,            -- the beginning of the line
    raw_length  bigint NOT NULL,           -- the line's true length in bytes, as far as it was read
    UNIQUE (sensor, run, n)
);
CREATE INDEX reject_rejected_at ON strandline.reject USING brin (rejected_at);

-- How far each file of a collector's spool has been loaded; written in the transaction that stores its rows.
CREATE TABLE strandline.spool_position (
    collector   text NOT NULL,
    file        text NOT NULL,
    inode       bigint NOT NULL,           -- another inode under the same name is another file: read from its start
    byte_offset bigint NOT NULL,
    mid_line    boolean NOT NULL DEFAULT false,  -- inside a line that was too long and has been rejected: skip to its end
    PRIMARY KEY (collector, file)
) WITH (fillfactor = 50);

-- The loader's account for each run and UTC day of the events' time stamps; outlives the events' retention.
CREATE TABLE strandline.tally (
    run_id     integer NOT NULL REFERENCES strandline.run (id),
    day        date NOT NULL,
    stored     bigint NOT NULL,            -- rows inserted
    late       bigint NOT NULL,            -- of these, rows whose number was below one already stored: out of order or sent again
    duplicates bigint NOT NULL,            -- lines that were stored already
    PRIMARY KEY (run_id, day)
) WITH (fillfactor = 50);

-- Creates the partition of one table for one UTC day unless it exists.
CREATE FUNCTION strandline.make_partition(parent text, day date) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    child text := format('%s_p%s', parent, to_char(day, 'YYYYMMDD'));
BEGIN
    IF to_regclass(format('strandline.%I', child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('strandline.make_partition'));
    IF to_regclass(format('strandline.%I', child)) IS NOT NULL THEN
        RETURN false;  -- another session was faster
    END IF;
    -- Made apart and then attached: CREATE ... PARTITION OF would lock the whole table against readers and the loader.
    EXECUTE format('CREATE TABLE strandline.%I (LIKE strandline.%I INCLUDING ALL) WITH (fillfactor = %s)',
                   child, parent, CASE parent WHEN 'sighting' THEN 80 ELSE 100 END);
    EXECUTE format('ALTER TABLE strandline.%I ATTACH PARTITION strandline.%I FOR VALUES FROM (%L) TO (%L)',
                   parent, child, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
    RETURN true;
END
$$;

-- Makes sure that events of this UTC day can be stored. False when the day is outside what is kept, or further ahead
-- than clocks go wrong by accident: the caller rejects the line.
CREATE FUNCTION strandline.ensure_day(day date) RETURNS boolean
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
    RETURN true;
END
$$;

-- Run by the timer: partitions for the days to come, and away with what is older than its retention.
CREATE FUNCTION strandline.maintain(OUT made integer, OUT dropped integer, OUT rejects_deleted bigint)
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
                     + strandline.make_partition('sighting', today + ahead)::integer;
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

-- The sources of a category seen in the hours [window_start, window_end).
CREATE FUNCTION strandline.feed(category text, window_start timestamptz, window_end timestamptz)
RETURNS TABLE (saddr inet, first_seen timestamptz, last_seen timestamptz, events bigint, verified_events bigint)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT s.saddr, min(s.first_seen), max(s.last_seen), sum(s.events)::bigint, sum(s.verified_events)::bigint
    FROM strandline.sighting s
    WHERE s.category = feed.category AND s.hour >= feed.window_start AND s.hour < feed.window_end
    GROUP BY s.saddr
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA strandline FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strandline.ensure_day(date) TO strandline_loader;
GRANT EXECUTE ON FUNCTION strandline.feed(text, timestamptz, timestamptz) TO strandline_publisher, strandline_loader;

GRANT SELECT, INSERT ON strandline.sensor, strandline.event, strandline.reject TO strandline_loader;
GRANT SELECT, INSERT, UPDATE ON strandline.run, strandline.tally TO strandline_loader;
GRANT SELECT, INSERT, UPDATE, DELETE ON strandline.sighting, strandline.spool_position TO strandline_loader;
GRANT SELECT ON strandline.sighting TO strandline_publisher;

SELECT strandline.maintain();
