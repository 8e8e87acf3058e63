"""The command line `lakehouse`; a project adds commands by entry points."""
