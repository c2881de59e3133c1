"""What a sensor does with its events between syslog-ng and the collector: heartbeat, spool, replay."""
