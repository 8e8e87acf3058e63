"""Say how many of something there are, and spell text for people."""

__all__ = ["breakable", "counted", "more", "plural"]


def plural(what: str) -> str:
    """Put the first word into the plural: "day joined", "days joined"."""
    noun, space, rest = what.partition(" ")
    return f"{noun}s{space}{rest}"


def counted(number: int, what: str) -> str:
    """Say how many of something there are: "1 day joined", "1,234 days joined"."""
    return f"{number:,} {what if number == 1 else plural(what)}"


def more(number: int, noun: str) -> str:
    """Say how many are left out: "1 more table", "3 more tables"."""
    return f"{number:,} more {noun if number == 1 else plural(noun)}"


def breakable(text: str) -> str:
    """Spell JSON so that a line can end between its fields.

    Browsers break lines at spaces only.
    """
    return text.replace(',"', ', "')
