-- What tells whether a source will be seen again: on which of the last days it was seen.

-- As strandline.feed, with the days: bit k is set when the source was seen in the 24 hours that end k days before the window does.
-- A UTC day meets two such days and no more, so that its first and its last time say of both whether the source was seen in them.
CREATE FUNCTION strandline.feed_days(category text, window_start timestamptz, window_end timestamptz)
RETURNS TABLE (saddr inet, first_seen timestamptz, last_seen timestamptz, events bigint, verified_events bigint, days integer)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT s.saddr, min(s.first_seen), max(s.last_seen), sum(s.events)::bigint, sum(s.verified_events)::bigint, bit_or(s.days)
    FROM (
        SELECT d.saddr, d.first_seen, d.last_seen, d.events, d.verified_events,
               (1 << greatest(0, least(6, ceil(date_part('epoch', feed_days.window_end - d.first_seen) / 86400)::integer - 1)))
               | (1 << greatest(0, least(6, ceil(date_part('epoch', feed_days.window_end - d.last_seen) / 86400)::integer - 1))) AS days
        FROM strandline.sighting_day d
        WHERE d.category = feed_days.category
          AND d.hour >= date_trunc('day', feed_days.window_start + interval '86399.999999 seconds', 'UTC')
          AND d.hour < date_trunc('day', feed_days.window_end, 'UTC')
        UNION ALL
        -- The window begins and ends with an hour, so that all of an hour is of one day; there are many more of these rows.
        SELECT h.saddr, h.first_seen, h.last_seen, h.events, h.verified_events,
               1 << greatest(0, least(6, ceil(date_part('epoch', feed_days.window_end - h.hour) / 86400)::integer - 1))
        FROM strandline.sighting h
        WHERE h.category = feed_days.category
          AND h.hour >= feed_days.window_start
          AND h.hour < least(date_trunc('day', feed_days.window_start + interval '86399.999999 seconds', 'UTC'), feed_days.window_end)
        UNION ALL
        SELECT t.saddr, t.first_seen, t.last_seen, t.events, t.verified_events,
               1 << greatest(0, least(6, ceil(date_part('epoch', feed_days.window_end - t.hour) / 86400)::integer - 1))
        FROM strandline.sighting t
        WHERE t.category = feed_days.category
          AND t.hour >= greatest(date_trunc('day', feed_days.window_start + interval '86399.999999 seconds', 'UTC'),
                                 date_trunc('day', feed_days.window_end, 'UTC'))
          AND t.hour < feed_days.window_end
        UNION ALL
        SELECT f.saddr, f.first_seen, f.last_seen, f.events, f.verified_events,
               1 << greatest(0, least(6, ceil(date_part('epoch', feed_days.window_end - f.hour) / 86400)::integer - 1))
        FROM strandline.sighting_fresh f
        WHERE f.category = feed_days.category AND f.hour >= feed_days.window_start AND f.hour < feed_days.window_end
    ) s
    GROUP BY s.saddr
$$;

-- The sources of a feed as it was at the beginning of a UTC day (its seven days end there), and whether each was seen on that day. Of
-- all addresses one in `sample`, always the same ones.
CREATE FUNCTION strandline.recurrence(category text, day timestamptz, sample integer)
RETURNS TABLE (first_seen timestamptz, last_seen timestamptz, events bigint, verified_events bigint, days integer, again boolean)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT f.first_seen, f.last_seen, f.events, f.verified_events, f.days, n.saddr IS NOT NULL
    FROM strandline.feed_days($1, $2 - interval '168 hours', $2) f
    LEFT JOIN strandline.sighting_day n ON n.category = $1 AND n.hour = $2 AND n.saddr = f.saddr
    WHERE hashinet(f.saddr) % $3 = 0
$$;

-- How long the sources stayed in a feed that left it in the seven days before a UTC day begins: from the day on which they came to the
-- seventh after they were last seen. What is older than 42 days is not looked at.
CREATE FUNCTION strandline.stays(category text, day timestamptz, OUT sources bigint, OUT median_days integer)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT count(*), percentile_disc(0.5) WITHIN GROUP (ORDER BY stay.days)
    FROM (
        SELECT (date_part('epoch', max(seen.hour) - max(seen.hour) FILTER (WHERE seen.comes)) / 86400)::integer + 7 AS days
        FROM (
            SELECT d.saddr, d.hour,
                   coalesce(d.hour - lag(d.hour) OVER (PARTITION BY d.saddr ORDER BY d.hour) > interval '168 hours', true) AS comes
            FROM strandline.sighting_day d
            WHERE d.category = $1 AND d.hour >= $2 - interval '1008 hours' AND d.hour < $2
        ) seen
        GROUP BY seen.saddr
        HAVING max(seen.hour) >= $2 - interval '336 hours' AND max(seen.hour) < $2 - interval '168 hours'
    ) stay
$$;
