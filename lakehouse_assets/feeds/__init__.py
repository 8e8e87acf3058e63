"""Feeds: what an airline receives, one file per feed. Only bronze reads them."""
