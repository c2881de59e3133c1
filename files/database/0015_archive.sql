-- The archive reads events and their account, and writes nothing.
GRANT USAGE ON SCHEMA strandline TO strandline_archive;
GRANT SELECT ON strandline.event_row, strandline.event_kind, strandline.event_before, strandline.sensor, strandline.run,
    strandline.tally TO strandline_archive;
