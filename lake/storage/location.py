"""Where a table lies: a folder of this machine, or the URL of an object store."""

__all__ = ["is_local"]


def is_local(location: str) -> bool:
    """Tell whether a location is a folder of this machine."""
    return "://" not in location
