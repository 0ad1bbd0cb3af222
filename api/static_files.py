"""Styles, scripts and pictures of the pages, from memory, at an address that changes when they do.

So a browser keeps them for good: a second visit asks for nothing but the page.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fastapi import APIRouter, HTTPException, Response

FOLDER: Final = Path(__file__).parent / "static"
KEPT: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_VERSIONED: Final = re.compile(r"([0-9a-f]{12})/(.+)", re.DOTALL)
_STYLES: Final = re.compile(r"css/([a-z_]+(?:\+[a-z_]+)+)\.css")
"""Several style sheets in one answer: nothing is painted before the last of them has come."""


def read_files(folder: Path) -> dict[str, bytes]:
    """All files below the folder, by their paths in it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def version_of(files: Mapping[str, bytes]) -> str:
    """12 hexadecimal digits that change with any of the files."""
    return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:12]


FILES: Final = read_files(FOLDER)
VERSION: Final = version_of(FILES)
ADDRESS: Final = f"/static/{VERSION}"
"""What the pages write before `/css/…`; scripts import each other by relative addresses."""

router = APIRouter(include_in_schema=False)


@router.api_route("/static/{path:path}", methods=["GET", "HEAD"])
async def static_file(path: str) -> Response:
    """A file below FOLDER; only one that was asked for with the current version may be kept."""
    versioned = _VERSIONED.fullmatch(path)
    version, name = versioned.groups() if versioned else ("", path)
    media_type = mimetypes.guess_type(name)[0]
    return Response(
        content_of(name), headers=KEPT if version == VERSION else {}, media_type=media_type
    )


def content_of(name: str) -> bytes:
    """The file of that name, or the style sheets `css/a+b.css` in this order."""
    joined = _STYLES.fullmatch(name)
    names = [f"css/{part}.css" for part in joined[1].split("+")] if joined else [name]
    try:
        return b"\n".join(FILES[part] for part in names)
    except KeyError as error:
        raise HTTPException(404) from error
