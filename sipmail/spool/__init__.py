"""The spool: one folder a message, on disk, crash-safe; the only place that renames and syncs."""
