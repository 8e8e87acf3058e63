"""Say what tables and checks may be called."""

import re

__all__ = ["is_name"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)


def is_name(text: str) -> bool:
    """Tell whether a text can be a name: lower case letters, digits and underscores."""
    return _NAME.fullmatch(text) is not None
