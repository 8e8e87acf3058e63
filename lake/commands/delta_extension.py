"""Open a DuckDB that reads Delta, by the extension that was installed with it.

DuckDB checks the signature of an extension each time it loads one, which takes 0.36 s for the 80 MB of Delta's. An
installer notes the SHA-256 of each file that it unpacks, here from a wheel whose own hash requirements.lock names. A
file that still has that hash is loaded without the other check, in a quarter of the time. Whoever could change both
the file and the note could change this program too. Any other file has to bear DuckDB's signature.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from importlib import metadata
from pathlib import Path

import duckdb

__all__ = ["find_extension", "is_as_installed", "open_with_delta"]

_DISTRIBUTION = "duckdb-extension-delta"


def open_with_delta() -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB that has loaded the extension.

    It loads none that is unsigned any more.

    Raises:
        ModuleNotFoundError: the package of the extension is not installed.
        duckdb.Error: the file is neither the one that was installed nor signed by DuckDB.
    """
    file = find_extension()
    is_known = "true" if is_as_installed(file) else "false"
    connection = duckdb.connect(config={"allow_unsigned_extensions": is_known, "python_enable_replacements": "false"})
    try:
        connection.load_extension(str(file))
        connection.execute("SET allow_unsigned_extensions = false")  # nobody can take that back
    except BaseException:
        connection.close()
        raise
    return connection


def find_extension() -> Path:
    """Return the extension that the package duckdb-extension-delta ships for the installed DuckDB."""
    spec = importlib.util.find_spec("duckdb_extension_delta")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("duckdb-extension-delta is not installed; install the package lakehouse again")
    return next(Path(spec.origin).parent.glob(f"extensions/v{duckdb.__version__}/delta.duckdb_extension"))


def is_as_installed(file: Path) -> bool:
    """Tell whether a file has the SHA-256 that its installer noted.

    Not where there is no such note.
    """
    expected = _noted(file)
    if not expected:
        return False
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").digest()
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode() == expected


def _noted(file: Path) -> str | None:
    """Return the hash that RECORD of the package has of a file.

    None where it has none of use.
    """
    try:
        files = metadata.files(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return None
    found = (one.hash for one in files if one.name == file.name and Path(str(one.locate())) == file)
    return next((one.value for one in found if one is not None and one.mode == "sha256"), None)
