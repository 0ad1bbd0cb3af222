"""Stage 5, the folder of an index: which snapshot is in use, and which one stands by.

index/CURRENT                 the id of the snapshot in use
index/snapshots/<id>/         a whole snapshot, never changed
index/snapshots/.<id>.<pid>/  one that is being written, or whose writer was killed
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from rag.errors import IndexCorruptError, IndexMissingError
from rag.snapshot_files import sync, write_text

_CURRENT = "CURRENT"
_SNAPSHOTS = "snapshots"


def folder_of(index: Path, snapshot_id: str) -> Path:
    """Where a whole snapshot stands."""
    return index / _SNAPSHOTS / snapshot_id


def aside_of(index: Path, snapshot_id: str) -> Path:
    """Where this process writes a snapshot that is not whole yet."""
    return index / _SNAPSHOTS / f".{snapshot_id}.{os.getpid()}"


def id_in_use(index: Path, default: str | None = None) -> str:
    """The snapshot that CURRENT names; without `default` raises IndexMissing- or -CorruptError."""
    current = index / _CURRENT
    try:
        name = current.read_text(encoding="utf-8").strip()
        if not name or name[0] == "." or "/" in name or not folder_of(index, name).is_dir():
            raise ValueError(f"it names {name!r}, which is not there")
    except (OSError, ValueError) as error:
        if default is not None:
            return default
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise IndexMissingError(
                f"no index in {index}; run `kotae index` to build one"
            ) from error
        reason = getattr(error, "strerror", None) or error
        raise IndexCorruptError(
            f"{current} cannot be read ({reason}); run `kotae index` to rebuild"
        ) from error
    return name


def ids_standing_by(index: Path) -> list[str]:
    """All other whole snapshots, the newest first by the time of their folder."""
    in_use = id_in_use(index, default="")
    return [folder.name for folder in _folders(index) if folder.name not in (in_use, "")]


def point_to(index: Path, snapshot_id: str) -> None:
    """Puts a snapshot in use, in one step."""
    aside = _new_pointer(index)
    write_text(aside, snapshot_id + "\n")
    sync(aside)
    aside.replace(index / _CURRENT)
    sync(index)


def discard(index: Path, *folders: Path) -> None:
    """Removes what a failed write left, but never the snapshot in use."""
    with suppress(OSError):
        _new_pointer(index).unlink(missing_ok=True)
    in_use = id_in_use(index, default="")
    for folder in folders:
        if folder.name != in_use:
            shutil.rmtree(folder, ignore_errors=True)


def prune(index: Path, keep: Collection[str]) -> None:
    """Removes all other snapshots, and what a killed indexer left."""
    for folder in [*_folders(index), *_folders(index, hidden=True)]:
        if folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)


def _folders(index: Path, hidden: bool = False) -> list[Path]:
    with suppress(OSError):  # no folder, or one that nobody may list: then there is nothing
        found = [
            (path.stat().st_mtime_ns, path)
            for path in (index / _SNAPSHOTS).iterdir()
            if path.is_dir() and path.name.startswith(".") == hidden
        ]
        return [path for _, path in sorted(found, reverse=True)]
    return []


def _new_pointer(index: Path) -> Path:
    return index / f".{_CURRENT}.new"
