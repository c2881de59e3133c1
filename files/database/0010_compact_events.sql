-- Events in half the space, and stored at half the cost: what is the same in many of them stands once, in strandline.event_kind, and
-- a row holds its number. strandline.event becomes a view that spells everything out, with the columns that it always had.
-- Events that are stored already stay as they are, in strandline.event_before, until retention removes them.

ALTER TABLE strandline.event RENAME TO event_before;
ALTER INDEX strandline.event_once RENAME TO event_before_once;
ALTER INDEX strandline.event_ts RENAME TO event_before_ts;
DROP TRIGGER heartbeat ON strandline.event_before;
-- Partitions for days to come; a new database has no others.
DO $$
DECLARE
    child  regclass;
    filled boolean;
BEGIN
    FOR child IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'strandline.event_before'::regclass LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', child) INTO filled;
        IF NOT filled THEN
            EXECUTE format('DROP TABLE %s', child);
        END IF;
    END LOOP;
END
$$;

-- Rows are made as events of the kind first come: the names of the fields are those that stood in the event.
CREATE TABLE strandline.event_kind (
    id       smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event    text NOT NULL,
    proto    text NOT NULL,
    verified boolean NOT NULL,
    cut      boolean NOT NULL,             -- a value was too long
    names    text[] NOT NULL,              -- the event's own fields
    UNIQUE (event, proto, verified, cut, names)
);

-- One row for each event; strandline.event shows it. No foreign keys: they would cost a trigger for every row, and only the
-- loader writes here. The wide fixed columns stand first, so that no padding is stored between them.
CREATE TABLE strandline.event_row (
    ts     timestamptz NOT NULL,
    rts    timestamptz NOT NULL,
    n      bigint NOT NULL,
    run_id integer NOT NULL,
    sport  integer NOT NULL,
    dport  integer NOT NULL,
    kind   smallint NOT NULL,
    saddr  inet NOT NULL,
    daddr  inet NOT NULL,
    fields text NOT NULL                   -- one value for each of the kind's names, a tab between two; behind those of an event
                                           -- that was cut, name and true length of each value that is not whole
) PARTITION BY RANGE (ts);
CREATE INDEX event_row_ts ON strandline.event_row USING brin (ts) WITH (pages_per_range = 32);
-- Each partition has a unique index on (run_id, n), see make_partition: without the time stamp, which a partitioned table's own
-- would need. A line that is sent again keeps its time stamp, so it meets itself in the same partition.

-- An event's own fields as an object. A value that was cut has NAME_length beside it.
CREATE FUNCTION strandline.event_data(names text[], cut boolean, fields text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN cut THEN (
            SELECT pg_catalog.jsonb_object(names, v.value[:cardinality(names)]) || (
                SELECT pg_catalog.jsonb_object_agg(v.value[i] || '_length', v.value[i + 1]::bigint)
                FROM pg_catalog.generate_series(cardinality(names) + 1, cardinality(v.value) - 1, 2) i)
            FROM (SELECT pg_catalog.string_to_array(fields, E'\t') AS value) v)
        -- Of '' string_to_array makes no elements, not one.
        WHEN fields = '' THEN pg_catalog.jsonb_object(names, array_fill(''::text, ARRAY[cardinality(names)]))
        ELSE pg_catalog.jsonb_object(names, pg_catalog.string_to_array(fields, E'\t'))
    END
$$;

CREATE VIEW strandline.event AS
SELECT e.ts,                              -- when it happened, by the sensor's clock
       e.rts,                             -- when the collector received it
       e.n, e.run_id, e.sport, e.dport,
       k.verified,                        -- the source was proven to be real (TCP, or a cookie or nonce that came back)
       k.event, e.saddr, e.daddr, k.proto,
       strandline.event_data(k.names, k.cut, e.fields) AS data  -- the event's own fields, the other side's bytes as \xNN
FROM strandline.event_row e LEFT JOIN strandline.event_kind k ON k.id = e.kind
UNION ALL
SELECT ts, rts, n, run_id, sport, dport, verified, event, saddr, daddr, proto, data FROM strandline.event_before;

-- The numbers alone. Other than the view above it can be looked up by run and number, row by row, from within a query.
CREATE VIEW strandline.event_number AS
SELECT run_id, n, ts FROM strandline.event_row
UNION ALL
SELECT run_id, n, ts FROM strandline.event_before;

-- The number of a kind of event; one that is not known yet is added.
CREATE FUNCTION strandline.find_kind(of_event text, of_proto text, of_verified boolean, of_cut boolean, of_names text[])
RETURNS smallint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_id smallint;
BEGIN
    FOR try IN 1..2 LOOP
        SELECT k.id INTO found_id FROM strandline.event_kind k
        WHERE (k.event, k.proto, k.verified, k.cut, k.names) = (of_event, of_proto, of_verified, of_cut, of_names);
        IF found_id IS NOT NULL THEN
            RETURN found_id;
        END IF;
        INSERT INTO strandline.event_kind (event, proto, verified, cut, names)
        VALUES (of_event, of_proto, of_verified, of_cut, of_names) ON CONFLICT DO NOTHING;
    END LOOP;
    SELECT k.id INTO STRICT found_id FROM strandline.event_kind k
    WHERE (k.event, k.proto, k.verified, k.cut, k.names) = (of_event, of_proto, of_verified, of_cut, of_names);
    RETURN found_id;
END
$$;

-- Makes rows of what is inserted into the view: by a loader of an earlier release, which may run beside this one on another
-- collector, or by hand. Of what is stored, only an event's own fields can be changed.
CREATE FUNCTION strandline.write_event() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_kind   smallint;
    of_names  text[];
    of_fields text;
    lengths   text;
BEGIN
    -- A length is a number, everything else is text.
    SELECT coalesce(array_agg(d.key ORDER BY d.at) FILTER (WHERE jsonb_typeof(d.value) <> 'number'), '{}'),
           coalesce(string_agg(d.value #>> '{}', E'\t' ORDER BY d.at) FILTER (WHERE jsonb_typeof(d.value) <> 'number'), ''),
           string_agg(left(d.key, -7) || E'\t' || (d.value #>> '{}'), E'\t' ORDER BY d.at)
               FILTER (WHERE jsonb_typeof(d.value) = 'number')
    INTO of_names, of_fields, lengths
    FROM jsonb_each(NEW.data) WITH ORDINALITY d (key, value, at);
    of_kind := strandline.find_kind(NEW.event, NEW.proto, NEW.verified, lengths IS NOT NULL, of_names);
    of_fields := concat_ws(E'\t', CASE WHEN of_names <> '{}' THEN of_fields END, lengths);
    IF TG_OP = 'INSERT' THEN
        IF EXISTS (SELECT FROM strandline.event_before b WHERE b.run_id = NEW.run_id AND b.n = NEW.n AND b.ts = NEW.ts) THEN
            RAISE unique_violation USING MESSAGE = format('event %s of run %s is stored already', NEW.n, NEW.run_id);
        END IF;
        INSERT INTO strandline.event_row (ts, rts, n, run_id, sport, dport, kind, saddr, daddr, fields)
        VALUES (NEW.ts, NEW.rts, NEW.n, NEW.run_id, NEW.sport, NEW.dport, of_kind, NEW.saddr, NEW.daddr, of_fields);
        RETURN NEW;
    END IF;
    IF (NEW.ts, NEW.rts, NEW.n, NEW.run_id, NEW.sport, NEW.dport, NEW.verified, NEW.event, NEW.saddr, NEW.daddr, NEW.proto)
       IS DISTINCT FROM
       (OLD.ts, OLD.rts, OLD.n, OLD.run_id, OLD.sport, OLD.dport, OLD.verified, OLD.event, OLD.saddr, OLD.daddr, OLD.proto) THEN
        RAISE EXCEPTION 'of an event only the column data can be changed';
    END IF;
    UPDATE strandline.event_row e SET kind = of_kind, fields = of_fields
    WHERE e.run_id = OLD.run_id AND e.n = OLD.n AND e.ts = OLD.ts;
    IF NOT FOUND THEN
        UPDATE strandline.event_before e SET data = NEW.data
        WHERE e.run_id = OLD.run_id AND e.n = OLD.n AND e.ts = OLD.ts;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER write_event INSTEAD OF INSERT OR UPDATE ON strandline.event
FOR EACH ROW EXECUTE FUNCTION strandline.write_event();

-- Notes a heartbeat in the transaction that stores its event. A sensor may say of itself what it likes, and must not keep
-- its events from being stored by it: what is no number counts as 0.
CREATE OR REPLACE FUNCTION strandline.note_heartbeat() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_sensor integer;
    of_host   text;
    of_source text := '';
    newer     boolean;
    told      record;
BEGIN
    SELECT k.event, strandline.event_data(k.names, k.cut, NEW.fields) AS data INTO told
    FROM strandline.event_kind k WHERE k.id = NEW.kind AND k.event IN ('sensor.heartbeat', 'sensor.listener');
    SELECT s.id, s.name INTO of_sensor, of_host
    FROM strandline.run r JOIN strandline.sensor s ON s.id = r.sensor_id WHERE r.id = NEW.run_id;
    IF told.event IS NULL OR of_sensor IS NULL THEN
        RETURN NULL;
    END IF;
    IF told.event = 'sensor.listener' THEN
        of_source := coalesce(left(told.data->>'listener', 32), '-');
    END IF;
    -- One that is sent again long after it was written tells nothing new. But when the one that is known is old itself,
    -- the sensor's clock was set back.
    UPDATE strandline.heartbeat h SET heard = greatest(h.heard, NEW.rts)
    WHERE h.sensor_id = of_sensor AND h.listener = of_source
    RETURNING NEW.ts >= h.ts OR NEW.rts > h.stated + interval '15 minutes' INTO newer;
    IF newer IS NULL THEN
        INSERT INTO strandline.heartbeat (sensor_id, listener, heard, stated, ts, data)
        VALUES (of_sensor, of_source, NEW.rts, NEW.rts, NEW.ts, told.data) ON CONFLICT DO NOTHING;
    ELSIF newer THEN
        UPDATE strandline.heartbeat h SET stated = NEW.rts, ts = NEW.ts, data = told.data
        WHERE h.sensor_id = of_sensor AND h.listener = of_source;
    END IF;
    PERFORM strandline.count_up(of_host, of_source, c.what, coalesce(left(told.data->>c.life, 64), '-'),
                                (NEW.ts AT TIME ZONE 'UTC')::date, (told.data->>c.what)::bigint)
    FROM (VALUES ('kernel_drops', 'life'), ('queue_drops', 'life'), ('tcp_overflows', 'life'), ('spool_drops', 'life'),
                 ('forward_drops', 'life'), ('full_pauses', 'life'), ('full_seconds', 'life'),
                 ('pruned_age', 'kept_life'), ('pruned_space', 'kept_life')) AS c (what, life)
    WHERE CASE WHEN told.data->>c.what ~ '^[0-9]{1,18}$' THEN (told.data->>c.what)::bigint > 0 ELSE false END;
    RETURN NULL;
END
$$;
-- The sensor's own events have no port, and nobody else's come to port 0: a comparison that costs the others nothing.
CREATE TRIGGER heartbeat AFTER INSERT ON strandline.event_row
FOR EACH ROW WHEN (NEW.dport = 0) EXECUTE FUNCTION strandline.note_heartbeat();

-- What earlier migrations' functions say of strandline.event, they say of its parts from now on. Only these words change, whatever
-- else was changed in them in between.
DO $do$
DECLARE
    change record;
    source text;
BEGIN
    FOR change IN SELECT * FROM (VALUES
        -- They look up runs and numbers, row by row.
        (1, 'gaps', 'FROM strandline.event e', 'FROM strandline.event_number e'),
        (2, 'near_day', 'FROM strandline.event e', 'FROM strandline.event_number e'),
        (3, 'account', 'FROM strandline.event e', 'FROM strandline.event_number e'),
        -- It runs every minute: what is older it has seen.
        (4, 'note_last_events', 'SELECT v.event, v.ts FROM strandline.event v',
            'SELECT k.event, v.ts FROM strandline.event_row v JOIN strandline.event_kind k ON k.id = v.kind'),
        (5, 'make_partition', $$    EXECUTE format('ALTER TABLE strandline.%I ATTACH$$,
            $$    IF parent = 'event_row' THEN
        EXECUTE format('CREATE UNIQUE INDEX %I ON strandline.%I (run_id, n)', child || '_once', child);
    END IF;
    EXECUTE format('ALTER TABLE strandline.%I ATTACH$$),
        (6, 'ensure_day', $$make_partition('event',$$, $$make_partition('event_row',$$),
        (7, 'maintain', $$make_partition('event',$$, $$make_partition('event_row',$$),
        (8, 'maintain', 'r.what = p.relname', $$r.what = regexp_replace(p.relname::text, '^event_.*', 'event')$$)
        ) AS c (step, name, old, new) ORDER BY step
    LOOP
        SELECT pg_get_functiondef(p.oid) INTO STRICT source
        FROM pg_proc p WHERE p.pronamespace = 'strandline'::regnamespace AND p.proname = change.name;
        IF position(change.old IN source) = 0 THEN
            RAISE EXCEPTION 'strandline.% does not contain: %', change.name, change.old;
        END IF;
        EXECUTE replace(source, change.old, change.new);
    END LOOP;
END
$do$;

-- For each run: the highest number, and how many numbers are accounted for (0002_reconcile.sql).
CREATE OR REPLACE VIEW strandline.run_numbers AS
WITH rejects AS (
    SELECT r.id AS run_id, max(j.n) AS high_n,
           count(*) FILTER (WHERE j.n > coalesce(c.checked_n, 0) AND NOT EXISTS (
               SELECT FROM strandline.event_number e WHERE e.run_id = r.id AND e.n = j.n)) AS fresh
    FROM strandline.reject j
    JOIN strandline.sensor s ON s.name = j.sensor
    JOIN strandline.run r ON r.sensor_id = s.id AND r.run = j.run
    LEFT JOIN strandline.run_check c ON c.run_id = r.id
    WHERE j.n > 0
    GROUP BY r.id
)
SELECT r.id AS run_id, r.sensor_id,
       greatest(r.high_n, c.stated_n, j.high_n) AS high_n,
       coalesce(c.checked_n, 0) AS checked_n,
       coalesce(t.stored, 0) + coalesce(c.rejected, 0) + coalesce(j.fresh, 0) + coalesce(l.lost, 0) AS accounted
FROM strandline.run r
LEFT JOIN strandline.run_check c ON c.run_id = r.id
LEFT JOIN rejects j ON j.run_id = r.id
LEFT JOIN (SELECT run_id, sum(stored) AS stored FROM strandline.tally GROUP BY run_id) t ON t.run_id = r.id
LEFT JOIN (SELECT run_id, sum(last_n - first_n + 1) AS lost FROM strandline.lost GROUP BY run_id) l ON l.run_id = r.id;

REVOKE ALL ON FUNCTION strandline.find_kind(text, text, boolean, boolean, text[]), strandline.write_event() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strandline.find_kind(text, text, boolean, boolean, text[]) TO strandline_loader;
GRANT SELECT, INSERT ON strandline.event, strandline.event_row TO strandline_loader;
GRANT SELECT ON strandline.event_kind, strandline.event_number TO strandline_loader;
-- Nobody adds to what was stored before.
REVOKE INSERT ON strandline.event_before FROM strandline_loader;

SELECT strandline.maintain();
