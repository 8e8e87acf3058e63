"""Spare commands that only look at a lake what they do not need.

pyarrow asks for pandas wherever it makes an array, and to import that takes a third of such a command.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["spare_pandas"]


class _NoPandas(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname == "pandas":
            raise ModuleNotFoundError("not now", name=fullname)
        return None


def spare_pandas() -> None:
    """Let pyarrow work without pandas until it is asked for a frame of it.

    It asks for pandas once, here, and is told that there is none. Whoever else imports pandas gets it. Call it only in
    a process that computes no rows: pyarrow then takes NaN of a `pandas.Series` for a number, and not for a null.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        import pyarrow as pa

        pa.array([])
    finally:
        sys.meta_path.remove(finder)
