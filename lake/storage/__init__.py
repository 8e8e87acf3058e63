"""Where things lie: logs, landing folders, locks and own tables. Needs no JVM."""
