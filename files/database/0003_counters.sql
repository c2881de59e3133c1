-- What is lost where no number tells of it, and how long a disk was full: the counters that sensors and collectors state
-- (files/catalogue/events.yml, sensor.*), by host and UTC day. And when each sensor and listener was last heard of.

-- The highest value that was stated for a counter in one of its lives by the end of a day. Only the highest counts: a
-- statement may come late, twice and out of order and still is summed up once. Rows are made when a counter has grown.
CREATE TABLE strandline.counter (
    host   text NOT NULL,                 -- a sensor's name, or a collector's
    source text NOT NULL,                 -- a listener, or '' for the host itself
    what   text NOT NULL,
    life   text NOT NULL,                 -- a counter begins at 0 in each of its lives
    day    date NOT NULL,
    high   bigint NOT NULL CHECK (high > 0),
    PRIMARY KEY (host, source, what, life, day)
) WITH (fillfactor = 50);

-- The last that was heard of each sensor ('') and listener. Written with the event that says so.
CREATE TABLE strandline.heartbeat (
    sensor_id integer NOT NULL REFERENCES strandline.sensor (id),
    listener  text NOT NULL,
    heard     timestamptz NOT NULL,       -- when the last one reached a collector
    stated    timestamptz NOT NULL,       -- when the one reached a collector that the rest of the row is from
    ts        timestamptz NOT NULL,       -- and when it was written, by the sensor's clock
    data      jsonb NOT NULL,
    PRIMARY KEY (sensor_id, listener)
) WITH (fillfactor = 50);

-- Takes over a counter's value. A day that an earlier one of the same life has reached already needs no row.
CREATE FUNCTION strandline.count_up(of_host text, of_source text, of_what text, of_life text, on_day date, value bigint)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO strandline.counter AS c (host, source, what, life, day, high)
    SELECT of_host, of_source, of_what, of_life, on_day, value
    WHERE value > 0 AND NOT EXISTS (
        SELECT FROM strandline.counter k
        WHERE (k.host, k.source, k.what, k.life) = (of_host, of_source, of_what, of_life)
          AND k.day <= on_day AND k.high >= value)
    ON CONFLICT (host, source, what, life, day) DO UPDATE SET high = greatest(c.high, excluded.high)
$$;

-- Notes a heartbeat in the transaction that stores its event. A sensor may say of itself what it likes, and must not keep
-- its events from being stored by it: what is no number counts as 0.
CREATE FUNCTION strandline.note_heartbeat() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_sensor integer;
    of_host   text;
    of_source text := '';
    newer     boolean;
BEGIN
    SELECT s.id, s.name INTO of_sensor, of_host
    FROM strandline.run r JOIN strandline.sensor s ON s.id = r.sensor_id WHERE r.id = NEW.run_id;
    IF of_sensor IS NULL THEN
        RETURN NULL;
    END IF;
    IF NEW.event = 'sensor.listener' THEN
        of_source := coalesce(left(NEW.data->>'listener', 32), '-');
    END IF;
    -- One that is sent again long after it was written tells nothing new. But when the one that is known is old itself,
    -- the sensor's clock was set back.
    UPDATE strandline.heartbeat h SET heard = greatest(h.heard, NEW.rts)
    WHERE h.sensor_id = of_sensor AND h.listener = of_source
    RETURNING NEW.ts >= h.ts OR NEW.rts > h.stated + interval '15 minutes' INTO newer;
    IF newer IS NULL THEN
        INSERT INTO strandline.heartbeat (sensor_id, listener, heard, stated, ts, data)
        VALUES (of_sensor, of_source, NEW.rts, NEW.rts, NEW.ts, NEW.data) ON CONFLICT DO NOTHING;
    ELSIF newer THEN
        UPDATE strandline.heartbeat h SET stated = NEW.rts, ts = NEW.ts, data = NEW.data
        WHERE h.sensor_id = of_sensor AND h.listener = of_source;
    END IF;
    PERFORM strandline.count_up(of_host, of_source, c.what, coalesce(left(NEW.data->>c.life, 64), '-'),
                                (NEW.ts AT TIME ZONE 'UTC')::date, (NEW.data->>c.what)::bigint)
    FROM (VALUES ('kernel_drops', 'life'), ('queue_drops', 'life'), ('tcp_overflows', 'life'), ('spool_drops', 'life'),
                 ('forward_drops', 'life'), ('full_pauses', 'life'), ('full_seconds', 'life'),
                 ('pruned_age', 'kept_life'), ('pruned_space', 'kept_life')) AS c (what, life)
    WHERE CASE WHEN NEW.data->>c.what ~ '^[0-9]{1,18}$' THEN (NEW.data->>c.what)::bigint > 0 ELSE false END;
    RETURN NULL;
END
$$;

CREATE TRIGGER heartbeat AFTER INSERT ON strandline.event
FOR EACH ROW WHEN (NEW.event IN ('sensor.heartbeat', 'sensor.listener')) EXECUTE FUNCTION strandline.note_heartbeat();

-- By how much each counter grew on a day, and how many lines came without a number. Beside strandline.account(): what
-- stands here has no number, or has one and is counted there as well (spool_drops, pruned_*).
CREATE FUNCTION strandline.account_counters(since date)
RETURNS TABLE (host text, day date, what text, amount bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT g.host, g.day, g.what, sum(g.grown)::bigint
    FROM (
        SELECT c.host, c.day, c.what,
               c.high - coalesce(max(c.high) OVER (PARTITION BY c.host, c.source, c.what, c.life ORDER BY c.day
                                                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS grown
        FROM strandline.counter c
    ) g
    WHERE g.day >= since AND g.grown > 0
    GROUP BY g.host, g.day, g.what
    UNION ALL
    SELECT coalesce(j.sensor, '-'), (coalesce(j.rts, j.rejected_at) AT TIME ZONE 'UTC')::date AS day, 'unnumbered', count(*)
    FROM strandline.reject j
    WHERE (j.n IS NULL OR j.n < 1 OR j.run IS NULL)
      AND (coalesce(j.rts, j.rejected_at) AT TIME ZONE 'UTC')::date >= since
    GROUP BY 1, 2
    ORDER BY 1, 2, 3
$$;

REVOKE ALL ON FUNCTION strandline.count_up(text, text, text, text, date, bigint), strandline.note_heartbeat(),
    strandline.account_counters(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strandline.count_up(text, text, text, text, date, bigint),
    strandline.account_counters(date) TO strandline_loader;
GRANT SELECT, INSERT, UPDATE ON strandline.counter TO strandline_loader;
GRANT SELECT ON strandline.heartbeat TO strandline_loader;
