"""Tell a receiver of OpenLineage what runs do with tables.

No run waits for the receiver or fails with it.
"""
