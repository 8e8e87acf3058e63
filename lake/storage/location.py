"""Tell where a table lies.

It lies in a folder of this machine, or under the URL of an object store.
"""

__all__ = ["is_local"]


def is_local(location: str) -> bool:
    """Tell whether a location is a folder of this machine."""
    return "://" not in location
