-- The watcher's memory: which state of what people were told of, and what it still has to tell. And the view that says who
-- is silent.

-- When an event of a listener last happened. The watcher keeps it up; nobody else has to look for it in the events.
CREATE TABLE strandline.last_event (
    sensor_id integer NOT NULL REFERENCES strandline.sensor (id),
    listener  text NOT NULL,
    ts        timestamptz NOT NULL,
    PRIMARY KEY (sensor_id, listener)
) WITH (fillfactor = 50);

-- How far the numbers of a run have been looked at for it.
CREATE TABLE strandline.last_event_run (
    run_id integer PRIMARY KEY REFERENCES strandline.run (id),
    n      bigint NOT NULL
) WITH (fillfactor = 50);

-- Looks at what came since the last time; of a flood at the newest 2000 numbers of a run.
CREATE FUNCTION strandline.note_last_events() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    WITH grown AS (
        SELECT r.id, r.sensor_id, r.high_n, greatest(coalesce(k.n, 0), r.high_n - 2000) AS seen_n
        FROM strandline.run r LEFT JOIN strandline.last_event_run k ON k.run_id = r.id
        WHERE r.high_n > coalesce(k.n, 0)
    ), told AS (
        INSERT INTO strandline.last_event_run AS k (run_id, n) SELECT id, high_n FROM grown
        ON CONFLICT (run_id) DO UPDATE SET n = excluded.n
    )
    INSERT INTO strandline.last_event AS l (sensor_id, listener, ts)
    SELECT g.sensor_id, split_part(e.event, '.', 1), max(e.ts)
    FROM grown g CROSS JOIN LATERAL (
        SELECT v.event, v.ts FROM strandline.event v
        WHERE v.run_id = g.id AND v.n > g.seen_n AND v.ts > now() - interval '3 days'
    ) e
    WHERE e.event NOT LIKE 'sensor.%'
    GROUP BY 1, 2
    ON CONFLICT (sensor_id, listener) DO UPDATE SET ts = greatest(l.ts, excluded.ts)
$$;

-- Who was last heard of when. A row for each sensor in service (listener '') and for each listener that it has told of.
-- silent_since: the last heartbeat, once three of them are overdue; NULL while all is well, and of who was never heard.
CREATE VIEW strandline.silent AS
WITH sensors AS (
    SELECT s.id, s.name FROM strandline.sensor s
    WHERE to_jsonb(s)->>'retired_at' IS NULL
), heard AS (
    SELECT h.sensor_id, h.listener, h.heard, h.data,
           CASE WHEN i.data->>'interval' ~ '^[1-9][0-9]{0,5}$' THEN (i.data->>'interval')::integer ELSE 300 END AS seconds
    FROM strandline.heartbeat h
    LEFT JOIN strandline.heartbeat i ON i.sensor_id = h.sensor_id AND i.listener = ''
)
SELECT s.name AS sensor, coalesce(h.listener, '') AS listener,
       CASE WHEN coalesce(h.listener, '') = '' THEN (SELECT max(l.ts) FROM strandline.last_event l WHERE l.sensor_id = s.id)
            ELSE (SELECT l.ts FROM strandline.last_event l WHERE l.sensor_id = s.id AND l.listener = h.listener)
       END AS last_event,
       h.heard AS last_heartbeat,
       CASE WHEN h.heard < now() - make_interval(secs => 3 * h.seconds) THEN h.heard END AS silent_since,
       coalesce(h.data->>'state', CASE WHEN h.heard IS NULL THEN 'unknown' ELSE 'alive' END) AS state
FROM sensors s LEFT JOIN heard h ON h.sensor_id = s.id;

-- What is watched: `sensor ams1`, `listener ams1 ssh`, `disk ams1`, `collector collector1`, `loader collector1`, ...
CREATE TABLE strandline.watched (
    subject  text PRIMARY KEY,
    state    text NOT NULL,               -- ok, or what is wrong
    since    timestamptz NOT NULL,
    told     text NOT NULL,               -- the state that people were told of last
    changes  timestamptz[] NOT NULL,      -- of the state, in the last while
    damped   boolean NOT NULL             -- it changes so often that people are told when it has settled
) WITH (fillfactor = 50);

-- When the watcher first looked for a sensor, and since when a collector can hear.
CREATE TABLE strandline.watched_since (
    name  text PRIMARY KEY,               -- a sensor, or `hearing COLLECTOR`
    since timestamptz NOT NULL
);

-- What people are told, and by which way it still has to go.
CREATE TABLE strandline.notice (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    made_at timestamptz NOT NULL DEFAULT now(),
    items   jsonb NOT NULL                -- [{subject, state, text}, ...]
);
CREATE TABLE strandline.notice_delivery (
    notice_id  bigint NOT NULL REFERENCES strandline.notice (id) ON DELETE CASCADE,
    way        text NOT NULL CHECK (way IN ('mail', 'webhook')),
    tries      integer NOT NULL DEFAULT 0,
    try_after  timestamptz NOT NULL DEFAULT now(),
    done_at    timestamptz,               -- delivered, or given up
    last_error text,
    PRIMARY KEY (notice_id, way)
);
CREATE INDEX notice_delivery_due ON strandline.notice_delivery (way) WHERE done_at IS NULL;

REVOKE ALL ON FUNCTION strandline.note_last_events() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strandline.note_last_events() TO strandline_loader;
GRANT SELECT, INSERT, UPDATE ON strandline.last_event, strandline.last_event_run TO strandline_loader;
GRANT SELECT ON strandline.silent TO strandline_loader;
GRANT SELECT, INSERT, UPDATE, DELETE ON strandline.watched, strandline.watched_since, strandline.notice,
    strandline.notice_delivery TO strandline_loader;
