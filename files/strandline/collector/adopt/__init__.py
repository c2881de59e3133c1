"""Brings the events of other daemons' logs into the database: `./strandline adopt`, docs/adopt.md."""
