"""Keep logs, landing folders, locks and own tables, without a JVM."""
