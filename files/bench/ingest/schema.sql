-- The article's table: a row for each message, a column for each field that patterndb finds. No index: none is spared ours.
CREATE ROLE syslog LOGIN;
CREATE DATABASE syslog OWNER syslog;
\connect syslog
CREATE TABLE events (
    ts     timestamptz,
    rts    timestamptz,
    sensor text,
    run    text,
    n      bigint,
    event  text,
    saddr  inet,
    sport  integer,
    daddr  inet,
    dport  integer,
    proto  text,
    data   text
);
ALTER TABLE events OWNER TO syslog;
