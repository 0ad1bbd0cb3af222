"""Kotae installed for real into an environment of its own, which lends its packages from here."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGED = ("rag", "api", "eval", "pyproject.toml", "README.md", "LICENSE", "NOTICE.md")
"""What pip needs of this repository; installing writes into it, so it is copied first."""


def copy_sources(folder: Path, names: Sequence[str] = PACKAGED) -> Path:
    """These files and folders of the repository, without what only git and tests need."""
    folder.mkdir(parents=True, exist_ok=True)
    left_out = shutil.ignore_patterns("__pycache__", "baseline")
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=left_out)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def lend_packages(environment: Path) -> None:
    """A virtual environment gets to import what is installed here, after its own packages.

    Installing gigabytes once more would show nothing of the steps that are tested.
    """
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
