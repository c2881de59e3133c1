"""Watches the sensors and this collector, and tells people when something changes: docs/watch.md."""
