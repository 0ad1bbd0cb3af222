"""Virtual environments for the peers: made once, from PyPI, with pip's one download cache."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.systems import OURS, Environment
from eval.models import folder_bytes

ROOT = Path(__file__).parents[1]
STAMP = ".installed"
INSTALL_SECONDS = 1800
CANDIDATES = ("python3.11", "python3.12", "python3.13", "python3.14")
VERSIONS = (
    "import importlib.metadata as m, json, sys; "
    "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
)


class NotInstalledError(Exception):
    """An environment that cannot be had here; the message is for the report."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A ready environment: its interpreter, its size on disk, versions of what it is about."""

    python: Path
    size_bytes: int
    versions: dict[str, str]


def install(environment: Environment, folder: Path) -> Installed:
    """The environment in `folder`, made unless its stamp says that it is ready.

    Raises NotInstalledError where there is no fitting Python, or pip fails.
    """
    python = folder / "bin" / "python"
    stamp = folder / STAMP
    wanted = _recipe(environment)
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        _run([str(find_python(environment.python)), "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", *_packages(environment)])
        stamp.write_text(wanted, "utf-8")
    told = _run([str(python), "-c", VERSIONS, *environment.shown])
    return Installed(python, folder_bytes(folder), json.loads(told))


def is_installed(environment: Environment, folder: Path) -> bool:
    """Whether `install` would have nothing to do."""
    stamp = folder / STAMP
    return stamp.exists() and stamp.read_text("utf-8") == _recipe(environment)


def find_python(oldest: tuple[int, int]) -> Path:
    """This Python where it is new enough, else another on the machine; NotInstalledError."""
    if sys.version_info >= oldest:
        return Path(sys.executable)
    on_path = [Path(path) for name in CANDIDATES if (path := shutil.which(name))]
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob("3.*/bin/python"))
    for found in [*on_path, *pyenv]:
        check = f"import sys; sys.exit(sys.version_info < {oldest})"
        if subprocess.run([found, "-c", check], capture_output=True, check=False).returncode == 0:
            return found
    raise NotInstalledError(f"no Python {'.'.join(map(str, oldest))} or later on this machine")


def _packages(environment: Environment) -> list[str]:
    if environment is OURS:
        return ["--constraint", str(ROOT / "constraints.txt"), "--editable", str(ROOT)]
    return ["--requirement", str(environment.requirements)]


def _recipe(environment: Environment) -> str:
    """Changes whenever the environment has to be made anew."""
    files = (
        [ROOT / "constraints.txt", ROOT / "pyproject.toml"]
        if environment is OURS
        else [environment.requirements]
    )
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _run(command: list[str]) -> str:
    """What the command prints; NotInstalledError with its last word when it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalledError(str(error)) from error
    if done.returncode:
        last = next(iter(reversed(done.stderr.strip().splitlines())), "no message")
        raise NotInstalledError(last)
    return done.stdout
