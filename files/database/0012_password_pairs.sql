-- The pairs of user name and password that were tried over SSH on a day (UTC), with how many sources tried each, and how often. Only
-- pairs that at least `least_sources` sources tried, and at most `most` of them: those that most sources tried. Counting sources
-- keeps out what a single person typed by mistake, and what one stranger would like to see published; IPv6 addresses of one /48 are
-- one source, since whoever has one of them usually has all. A value that was cut is no password.
CREATE FUNCTION strandline.password_pairs(day date, least_sources bigint, most bigint)
RETURNS TABLE (username text, password text, sources bigint, attempts bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tried.username, tried.password, count(*), sum(tried.attempts)::bigint
    FROM (
        SELECT v.value[array_position(k.names, 'user')] AS username, v.value[array_position(k.names, 'password')] AS password,
               CASE family(e.saddr) WHEN 4 THEN e.saddr ELSE network(set_masklen(e.saddr, 48)) END AS source,
               count(*) AS attempts
        FROM strandline.event_row e JOIN strandline.event_kind k ON k.id = e.kind
        CROSS JOIN LATERAL (SELECT string_to_array(e.fields, E'\t') AS value) v
        WHERE k.event = 'ssh.password' AND NOT k.cut
          AND e.ts >= $1::timestamp AT TIME ZONE 'UTC' AND e.ts < ($1 + 1)::timestamp AT TIME ZONE 'UTC'
        GROUP BY 1, 2, 3
    ) tried
    WHERE tried.username IS NOT NULL AND tried.password IS NOT NULL
    GROUP BY 1, 2 HAVING count(*) >= $2
    ORDER BY 3 DESC, 4 DESC, 1, 2
    LIMIT least($3, 1000000)
$$;

REVOKE ALL ON FUNCTION strandline.password_pairs(date, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strandline.password_pairs(date, bigint, bigint) TO strandline_publisher;
