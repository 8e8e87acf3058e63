"""Tell where a table lies.

It lies in a folder of this machine, or under the URL of an object store.
"""

__all__ = ["is_local", "scheme_of"]

_SEPARATOR = "://"


def is_local(location: str) -> bool:
    """Tell whether a location is a folder of this machine."""
    return _SEPARATOR not in location


def scheme_of(location: str) -> str:
    """Return how a URL begins, as `s3`, or "" for a folder."""
    return "" if is_local(location) else location.partition(_SEPARATOR)[0].lower()
