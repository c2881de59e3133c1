"""The archive: each UTC day of events as Parquet files, for any engine that reads them (docs/archive.md)."""
