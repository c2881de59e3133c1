"""Keeps the files that syslog-ng writes within bounds of age and size, on sensors and on the collector."""
