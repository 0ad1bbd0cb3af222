"""API keys: a file that holds their names and hashes, never a key itself.

A key is 256 random bits, so one round of SHA-256 is enough to keep it from whoever reads the file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from filelock import FileLock

from rag.config import Settings
from rag.errors import ConfigError

PREFIX: Final = "kotae_"
"""Scanners for leaked secrets know a key by it."""
MAX_KEYS: Final = 1000
MAX_KEY_CHARS: Final = 200
_FILE_NAME: Final = "keys.json"
_NAME: Final = re.compile(r"[\w.@-]{1,64}")
_NO_STAMP: Final = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key; `digest` is the SHA-256 of the key in hexadecimal digits."""

    name: str
    digest: str
    created_at: str


class KeyStore:
    """The keys of one file, read anew whenever it changes; safe to call from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._stamp = _NO_STAMP
        self._keys: tuple[ApiKey, ...] = ()
        self._demanded = False

    @property
    def demanded(self) -> bool:
        """Whether a key is asked for: once the file has been there, for as long as this lives."""
        self.all()
        return self._demanded

    def all(self) -> tuple[ApiKey, ...]:
        """The keys as the file has them now; raises ConfigError when it cannot be read."""
        stamp = self._stamp_now()
        with self._lock:
            if stamp != self._stamp:
                self._keys = self._read() if stamp != _NO_STAMP else ()
                self._stamp = stamp
            self._demanded = self._demanded or stamp != _NO_STAMP
            return self._keys

    def find(self, key: str) -> ApiKey | None:
        """Whose key it is. All are compared, each in constant time: how long it takes tells
        nothing."""
        digest = digest_of(key[: MAX_KEY_CHARS + 1])
        found = None
        for known in self.all():
            if hmac.compare_digest(known.digest, digest):
                found = known
        return found

    def holds(self, known: ApiKey) -> bool:
        """Whether the key has not been revoked meanwhile."""
        return known in self.all()

    def add(self, name: str) -> str:
        """A new key, told this once; raises ConfigError for a name that is taken or no name."""
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"name {name!r}: 1 to 64 letters, digits and . _ @ -, such as kotae keys add alice"
            )
        key = PREFIX + secrets.token_urlsafe(32)
        with self._locked():
            keys = self.all()
            if any(known.name == name for known in keys):
                raise ConfigError(f"there is a key {name!r}; revoke it or choose another name")
            if len(keys) >= MAX_KEYS:
                raise ConfigError(f"{self.path} holds {MAX_KEYS} keys; revoke some first")
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self._write([*keys, ApiKey(name, digest_of(key), now)])
        return key

    def revoke(self, name: str) -> int:
        """Takes the key back at once and returns how many are left; ConfigError if there is none
        of that name."""
        with self._locked():
            keys = self.all()
            kept = [known for known in keys if known.name != name]
            if len(kept) == len(keys):
                names = ", ".join(known.name for known in keys) or "none"
                raise ConfigError(f"no key {name!r} in {self.path}; there are: {names}")
            self._write(kept)
        return len(kept)

    def _stamp_now(self) -> tuple[int, int, int]:
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return _NO_STAMP
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror or error}") from error
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> tuple[ApiKey, ...]:
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))["keys"]
            return tuple(ApiKey(**entry) for entry in entries)
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{self.path} cannot be read ({type(error).__name__}); nobody is let in. "
                "Restore the file, or delete it and add the keys anew"
            ) from error

    def _write(self, keys: list[ApiKey]) -> None:
        """Replaces the file in one step; only its owner may read it."""
        content = json.dumps({"keys": [asdict(known) for known in keys]}, indent=2)
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".keys-")  # mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(content + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _locked(self) -> FileLock:
        """One change at a time, also of several processes."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.path.parent}: {error.strerror or error}") from error
        return FileLock(self.path.with_name(f".{self.path.name}.lock"), mode=0o600)


def open_keys(settings: Settings) -> KeyStore:
    """The keys that the settings name: `keys_file`, or keys.json next to the index."""
    return KeyStore(settings.keys_file or settings.index / _FILE_NAME)


def digest_of(secret: str) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
