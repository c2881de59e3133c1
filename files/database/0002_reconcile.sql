-- What became of every number that a sensor gave: stored, rejected, missing, recovered, or known to be lost.
-- A sensor numbers the events of a run 1, 2, 3, ... (see run), so each number up to the highest is exactly one of these.

-- How far the numbers of a run have been looked at. Rows are made by reconciling, not by the loader.
CREATE TABLE strandline.run_check (
    run_id    integer PRIMARY KEY REFERENCES strandline.run (id),
    stated_n  bigint NOT NULL DEFAULT 0,  -- the highest number that the sensor said it had in its spool: shows a missing tail
    checked_n bigint NOT NULL DEFAULT 0,  -- up to here each number is stored, rejected or lost: no need to look again
    rejected  bigint NOT NULL DEFAULT 0   -- how many of these were rejected; outlives the rejects' retention
) WITH (fillfactor = 50);

-- Which numbers of a run belong to which UTC day, as the sensor's spool had them: tells the day of a number that is missing.
CREATE TABLE strandline.run_day (
    run_id  integer NOT NULL REFERENCES strandline.run (id),
    day     date NOT NULL,
    first_n bigint NOT NULL,
    last_n  bigint NOT NULL CHECK (last_n >= first_n),
    PRIMARY KEY (run_id, day)
) WITH (fillfactor = 50);

-- Numbers whose lines are nowhere any more.
CREATE TABLE strandline.lost (
    run_id      integer NOT NULL REFERENCES strandline.run (id),
    first_n     bigint NOT NULL,
    last_n      bigint NOT NULL CHECK (last_n >= first_n),
    day         date NOT NULL,
    reason      text NOT NULL CHECK (reason IN ('outlived', 'unwritten')),
                -- outlived: the spool had removed them before anybody asked; unwritten: they never were in the spool (a full
                -- disk, a queue that overflowed, or a crash between number and disk)
    found_at    timestamptz NOT NULL DEFAULT now(),
    reported_at timestamptz,              -- NULL until an operator was told
    PRIMARY KEY (run_id, first_n)
);

-- Numbers that a sensor was asked to send again, until the next look at what came of it.
CREATE TABLE strandline.asked (
    run_id   integer NOT NULL REFERENCES strandline.run (id),
    first_n  bigint NOT NULL,
    last_n   bigint NOT NULL CHECK (last_n >= first_n),
    day      date NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, first_n)
);

-- How many events of a run's day were missing and came when they were asked for.
CREATE TABLE strandline.recovered (
    run_id integer NOT NULL REFERENCES strandline.run (id),
    day    date NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (run_id, day)
);

-- For each run: the highest number, and how many numbers are accounted for. Costs the same with ten rows and ten million:
-- the loader's tally counts the events.
CREATE VIEW strandline.run_numbers AS
WITH rejects AS (
    SELECT r.id AS run_id, max(j.n) AS high_n,
           count(*) FILTER (WHERE j.n > coalesce(c.checked_n, 0) AND NOT EXISTS (
               SELECT FROM strandline.event e WHERE e.run_id = r.id AND e.n = j.n)) AS fresh
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

-- The ranges of numbers that nobody has: heads, tails and whole runs included. Only runs whose count does not agree are
-- looked at row by row, and these only behind what was checked before.
CREATE FUNCTION strandline.gaps() RETURNS TABLE (run_id integer, first_n bigint, last_n bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    look record;
BEGIN
    FOR look IN
        SELECT r.run_id, r.checked_n, r.high_n, s.name, u.run
        FROM strandline.run_numbers r
        JOIN strandline.run u ON u.id = r.run_id
        JOIN strandline.sensor s ON s.id = r.sensor_id
        WHERE r.accounted <> r.high_n AND r.high_n > r.checked_n
        ORDER BY r.run_id
    LOOP
        RETURN QUERY
        WITH present (a, b) AS (
            SELECT e.n, e.n FROM strandline.event e WHERE e.run_id = look.run_id AND e.n > look.checked_n
            UNION ALL
            SELECT j.n, j.n FROM strandline.reject j
            WHERE j.sensor = look.name AND j.run = look.run AND j.n > look.checked_n
            UNION ALL
            SELECT l.first_n, l.last_n FROM strandline.lost l
            WHERE l.run_id = look.run_id AND l.last_n > look.checked_n
            UNION ALL
            SELECT look.high_n + 1, look.high_n + 1
        ), neighbours AS (
            SELECT a, coalesce(max(b) OVER (ORDER BY a ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
                               look.checked_n) AS before
            FROM present
        )
        SELECT look.run_id, before + 1, a - 1 FROM neighbours WHERE a > before + 1 ORDER BY 2;
    END LOOP;
END
$$;

-- The day of a number: of the event before it, of the one behind it, or of the run's beginning (see strandline-run-id).
CREATE FUNCTION strandline.near_day(run_id integer, n bigint) RETURNS date
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        (SELECT (e.ts AT TIME ZONE 'UTC')::date FROM strandline.event e
         WHERE e.run_id = near_day.run_id AND e.n < near_day.n ORDER BY e.n DESC LIMIT 1),
        (SELECT (e.ts AT TIME ZONE 'UTC')::date FROM strandline.event e
         WHERE e.run_id = near_day.run_id AND e.n > near_day.n ORDER BY e.n LIMIT 1),
        (SELECT ((CASE WHEN r.run ~ '^[0-9]{16}-' THEN to_timestamp(left(r.run, 10)::bigint) ELSE r.created_at END)
                 AT TIME ZONE 'UTC')::date FROM strandline.run r WHERE r.id = near_day.run_id))
$$;

-- A range of numbers, cut where days meet.
CREATE FUNCTION strandline.by_day(of_run integer, range_first bigint, range_last bigint)
RETURNS TABLE (day date, first_n bigint, last_n bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known record;
    at bigint := range_first;
BEGIN
    FOR known IN
        SELECT d.day, d.first_n, d.last_n FROM strandline.run_day d
        WHERE d.run_id = of_run AND d.last_n >= range_first AND d.first_n <= range_last
        ORDER BY d.first_n, d.day
    LOOP
        IF known.first_n > at THEN
            RETURN QUERY SELECT strandline.near_day(of_run, at), at, known.first_n - 1;
            at := known.first_n;
        END IF;
        IF known.last_n >= at AND at <= range_last THEN
            RETURN QUERY SELECT known.day, at, least(known.last_n, range_last);
            at := least(known.last_n, range_last) + 1;
        END IF;
    END LOOP;
    IF at <= range_last THEN
        RETURN QUERY SELECT strandline.near_day(of_run, at), at, range_last;
    END IF;
END
$$;

-- The account for each sensor and UTC day of the events' time stamps. sent is the sum of stored, rejected, missing and
-- lost; recovered is part of stored (or rejected).
CREATE FUNCTION strandline.account(since date)
RETURNS TABLE (sensor text, day date, sent bigint, stored bigint, recovered bigint, rejected bigint, missing bigint,
               lost bigint, outlived bigint, unwritten bigint, duplicates bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH part (run_id, day, stored, recovered, rejected, missing, outlived, unwritten, duplicates) AS (
        SELECT t.run_id, t.day, t.stored, 0, 0, 0, 0, 0, t.duplicates FROM strandline.tally t WHERE t.day >= since
        UNION ALL
        SELECT c.run_id, c.day, 0, c.events, 0, 0, 0, 0, 0 FROM strandline.recovered c WHERE c.day >= since
        UNION ALL
        SELECT l.run_id, l.day, 0, 0, 0, 0, CASE l.reason WHEN 'outlived' THEN l.last_n - l.first_n + 1 ELSE 0 END,
               CASE l.reason WHEN 'unwritten' THEN l.last_n - l.first_n + 1 ELSE 0 END, 0
        FROM strandline.lost l WHERE l.day >= since
        UNION ALL
        SELECT g.run_id, d.day, 0, 0, 0, d.last_n - d.first_n + 1, 0, 0, 0
        FROM strandline.gaps() g CROSS JOIN LATERAL strandline.by_day(g.run_id, g.first_n, g.last_n) d
        WHERE d.day >= since
        UNION ALL
        SELECT j.run_id, j.day, 0, 0, 1, 0, 0, 0, 0
        FROM (
            SELECT r.id AS run_id, j.n,
                   coalesce((SELECT min(d.day) FROM strandline.run_day d
                             WHERE d.run_id = r.id AND j.n BETWEEN d.first_n AND d.last_n),
                            (j.rts AT TIME ZONE 'UTC')::date, (j.rejected_at AT TIME ZONE 'UTC')::date) AS day
            FROM strandline.reject j
            JOIN strandline.sensor s ON s.name = j.sensor
            JOIN strandline.run r ON r.sensor_id = s.id AND r.run = j.run
            WHERE j.n > 0
        ) j
        WHERE j.day >= since
          AND NOT EXISTS (SELECT FROM strandline.event e WHERE e.run_id = j.run_id AND e.n = j.n)
    )
    SELECT s.name, p.day,
           sum(p.stored + p.rejected + p.missing + p.outlived + p.unwritten)::bigint,
           sum(p.stored)::bigint, sum(p.recovered)::bigint, sum(p.rejected)::bigint, sum(p.missing)::bigint,
           sum(p.outlived + p.unwritten)::bigint, sum(p.outlived)::bigint, sum(p.unwritten)::bigint,
           sum(p.duplicates)::bigint
    FROM part p
    JOIN strandline.run r ON r.id = p.run_id
    JOIN strandline.sensor s ON s.id = r.sensor_id
    GROUP BY s.name, p.day
    ORDER BY s.name, p.day
$$;

REVOKE ALL ON FUNCTION strandline.gaps(), strandline.near_day(integer, bigint),
    strandline.by_day(integer, bigint, bigint), strandline.account(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strandline.gaps(), strandline.near_day(integer, bigint),
    strandline.by_day(integer, bigint, bigint), strandline.account(date) TO strandline_loader;
GRANT SELECT ON strandline.run_numbers TO strandline_loader;
GRANT SELECT, INSERT, UPDATE ON strandline.run_check, strandline.run_day, strandline.recovered TO strandline_loader;
GRANT SELECT, INSERT, UPDATE, DELETE ON strandline.lost, strandline.asked TO strandline_loader;
