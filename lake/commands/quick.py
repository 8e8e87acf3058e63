"""Spare commands that only look what they do not need.

pyarrow asks for pandas wherever it makes an array, and to import that takes a third of a command that only looks.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import LazyLoader, find_spec, module_from_spec
from types import ModuleType

__all__ = ["prepare_look", "prepare_run", "spare_pandas"]

_OBJECTS_OF_A_LOOK = 1_000_000
"""So many objects are made between two looks for circles; the ledger of three years is half of them."""
_OBJECTS_OF_A_RUN = 50_000


class _NoPandas(MetaPathFinder):
    """Says that there is no pandas."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname == "pandas":
            raise ModuleNotFoundError("not now", name=fullname)
        return None


class _LaterPandas(MetaPathFinder):
    """Tells pyarrow of pandas as soon as anybody has imported it.

    It stays among the finders, because a thread that imports something else may be going through them.
    """

    def __init__(self) -> None:
        self._is_over = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != "pandas" or self._is_over:
            return None
        self._is_over = True
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            _tell_afterwards(spec.loader)
        return spec


def _tell_afterwards(loader: Loader) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        import pyarrow as pa

        execute(module)
        pa.nulls(0).to_pandas()  # pyarrow asks again only where it must, and here it must

    vars(loader)["exec_module"] = exec_module


def prepare_look() -> None:
    """Prepare a command that only looks at the lake and ends.

    It makes many objects, keeps them to its end and makes few circles of them. To look for circles as often as Python
    does would be a fifth of its time.
    """
    gc.set_threshold(_OBJECTS_OF_A_LOOK)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would ask every package for some
    with _one_thread_of_blas():
        spare_pandas()
    import pyarrow as pa

    _import_later(pa, "compute")


def prepare_run() -> None:
    """Prepare a command that computes tables.

    Most objects that it makes are those of its imports, which stay.
    """
    gc.set_threshold(_OBJECTS_OF_A_RUN)
    spare_pandas()


def spare_pandas() -> None:
    """Let pyarrow work without pandas until somebody imports it.

    pyarrow asks for pandas once, here, and is told that there is none. Once anybody has imported pandas, pyarrow knows
    it too, because without it NaN of a `pandas.Series` would be a number, and not a null.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        import pyarrow as pa

        pa.array([])
    finally:
        sys.meta_path[sys.meta_path.index(finder)] = _LaterPandas()


@contextmanager
def _one_thread_of_blas() -> Iterator[None]:
    """Let numpy start no threads for linear algebra, unless somebody asks for them.

    pyarrow imports it, and they take as long to start as half of its import.
    """
    name = "OPENBLAS_NUM_THREADS"
    if name in os.environ:
        yield
        return
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]


def _import_later(parent: ModuleType, name: str) -> None:
    """Let a module be imported when it is used first.

    Many commands that import it do not use it. They have to say `from parent import name`: `import parent.name` asks
    the module for its state, which is a use.
    """
    full = f"{parent.__name__}.{name}"
    spec = None if full in sys.modules else find_spec(full)
    if spec is None or spec.loader is None:
        return
    spec.loader = LazyLoader(spec.loader)
    module = sys.modules[full] = module_from_spec(spec)
    spec.loader.exec_module(module)
    setattr(parent, name, module)
