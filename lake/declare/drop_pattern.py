"""Say where the files of a feed lie, by a pattern of paths.

Without one they lie in `landing/<feed>/landed_on=YYYY-MM-DD/`.

    events/{day:%Y/%m/%d}/{hour}/*.json.gz

is a path under the landing folder. `{day}` is the landing day, written as `%Y-%m-%d` or as stated, also in parts;
`{hour}` two digits; `*` any text without a slash. Nothing else is special.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import pyspark.sql.functions as F
from pyspark.sql import Column

from lake.declare.formats import decoded
from lake.declare.source_file import SourceFile
from lake.errors import DeclarationError

__all__ = ["DropPattern"]

_TOKEN = re.compile(r"\{day(?::([^{}]+))?\}|(\{hour\})|(\*)|([A-Za-z0-9._=/-]+)")
_DIRECTIVE = re.compile(r"%(.)|([A-Za-z0-9._=/-]+)")
_DIGITS = {"Y": 4, "m": 2, "d": 2}
_FORM = 'write it as "events/{day:%Y/%m/%d}/{hour}/*.json.gz"'


@dataclass(frozen=True)
class DropPattern:
    """A pattern of paths under the landing folder, each of one landing day.

    Attributes:
        text: the pattern.
    """

    text: str

    def __post_init__(self) -> None:
        kinds = [kind for kind, _ in self._tokens]
        if sorted(kind for kind in kinds if kind in _DIGITS) != sorted(_DIGITS):
            self._refuse("does not name year, month and day once each")
        if kinds.count("hour") > 1:
            self._refuse("names the hour twice")
        if any(part in ("", ".", "..") or part.startswith(("_", ".")) for part in self.text.split("/")):
            self._refuse("has an empty, hidden or climbing folder")
        if len(self.segments) < 2:
            self._refuse("does not begin with a folder")
        if self._tokens[0][0] != "text" or "/" not in self._literal_head():
            self._refuse("does not begin with the name of a folder")

    @cached_property
    def _tokens(self) -> list[tuple[str, str]]:
        """Take the pattern apart into kinds, each with its text."""
        tokens: list[tuple[str, str]] = []
        end = 0
        for match in _TOKEN.finditer(self.text):
            if match.start() != end:
                break
            end = match.end()
            if match[0].startswith("{day"):
                tokens += self._directives(match[1] or "%Y-%m-%d")
            else:
                tokens.append(("hour" if match[2] else "*" if match[3] else "text", match[0]))
        if end != len(self.text) or not tokens:
            self._refuse(f"cannot be read from {self.text[end:]!r} on")
        return tokens

    def _directives(self, written: str) -> list[tuple[str, str]]:
        parts = list(_DIRECTIVE.finditer(written))
        if "".join(part[0] for part in parts) != written or any(part[1] not in (None, *_DIGITS) for part in parts):
            self._refuse(f"writes the day as {written!r}, and %Y, %m and %d are known")
        return [(part[1] or "text", part[0]) for part in parts]

    def _refuse(self, problem: str) -> None:
        raise DeclarationError("lies_at", f"{self.text!r} {problem}", _FORM)

    def _literal_head(self) -> str:
        head = ""
        for kind, text in self._tokens:
            if kind != "text":
                break
            head += text
        return head

    @cached_property
    def base(self) -> str:
        """The folder, under the landing folder, in which all files lie."""
        return self._literal_head().rpartition("/")[0]

    @cached_property
    def has_hour(self) -> bool:
        """Tell whether a path names the hour."""
        return any(kind == "hour" for kind, _ in self._tokens)

    @cached_property
    def _regex(self) -> str:
        """Write the pattern for Python and for Java."""
        return "".join(_as_regex(kind, text) for kind, text in self._tokens)

    @cached_property
    def _groups(self) -> dict[str, int]:
        grouped = [kind for kind, _ in self._tokens if kind in _DIGITS or kind == "hour"]
        return {kind: place for place, kind in enumerate(grouped, start=1)}

    @cached_property
    def segments(self) -> list[re.Pattern[str]]:
        """Give what each folder on the way has to match, and the file."""
        return [re.compile(part, re.ASCII) for part in self._regex.split("/")]

    def day_of(self, path: str) -> date | None:
        """Read the landing day of a path, None where it does not match."""
        found = re.compile(self._regex, re.ASCII).fullmatch(path)
        if found is None:
            return None
        try:
            return date(*(int(found[self._groups[part]]) for part in "Ymd"))
        except ValueError:
            return None

    def path(self, day: date, hour: int | None, name: str) -> str | None:
        """Name the path of a file that lands, None where it does not fit.

        Args:
            day: the landing day.
            hour: the hour, where the pattern has one.
            name: of the file.
        """
        if self.has_hour != (hour is not None):
            return None
        written = "".join(_written(kind, text, day, hour) for kind, text in self._tokens)
        folder = written.rpartition("/")[0]
        found = f"{folder}/{name}"
        return found if "*" not in folder and self.day_of(found) == day else None

    def within(self, file: SourceFile) -> str:
        """Give the path of a file under the landing folder."""
        return "/".join(file.parts[-len(self.segments) :])

    def landed_on(self) -> Column:
        """Give the landing day of a row, by the path of its file."""
        parts = (F.regexp_extract(self.file(), f"^{self._regex}$", self._groups[part]) for part in "Ymd")
        return F.concat_ws("-", *parts).try_cast("date")

    def file(self) -> Column:
        """Give the path of a row's file under the landing folder."""
        return F.regexp_extract(decoded(F.col("_metadata.file_path")), f"/({self._regex})$", 1)


def _as_regex(kind: str, text: str) -> str:
    if kind in _DIGITS:
        return f"([0-9]{{{_DIGITS[kind]}}})"
    return {"hour": "([01][0-9]|2[0-3])", "*": r"[^\x2f]*"}.get(kind) or re.escape(text)


def _written(kind: str, text: str, day: date, hour: int | None) -> str:
    if kind in _DIGITS:
        return day.strftime(f"%{kind}")
    return f"{hour:02}" if kind == "hour" else text
