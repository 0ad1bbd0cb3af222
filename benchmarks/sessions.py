"""A running peer: started in its environment, asked over pipes, stopped at the end."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from types import TracebackType
from typing import IO, Any, Self, cast

from benchmarks.environments import ROOT
from benchmarks.systems import PEERS

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "LOGFIRE_IGNORE_NO_CONFIG": "1",
    "PYTHONWARNINGS": "ignore",
}
"""Nothing is fetched: everybody has the model on disk."""


class PeerError(Exception):
    """A peer failed, died, or took too long; the message is for the report."""


class Session:
    """One process of a peer; `started` is when it began, by `time.perf_counter`."""

    def __init__(self, python: Path, script: str, options: Sequence[str], work: Path) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("KOTAE_")}
        if cache := os.environ.get("KOTAE_CACHE"):
            own["KOTAE_CACHE"] = cache
        work.mkdir(parents=True, exist_ok=True)
        self.log = work / f"{Path(script).stem}.log"
        self.started = time.perf_counter()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(python), str(PEERS / script), *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                cwd=work,  # no kotae.toml and no other file of the user's may matter
                env={**own, **OFFLINE, "PYTHONPATH": str(ROOT) if "kotae" in script else ""},
            )
        self._answers: Queue[str] = Queue()
        reader = Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, timeout_seconds: float, **wish: object) -> dict[str, Any]:
        """One request of peers/protocol.py; raises PeerError."""
        to_peer = cast(IO[str], self.process.stdin)
        try:
            to_peer.write(json.dumps(wish, ensure_ascii=False) + "\n")
            to_peer.flush()
            line = self._answers.get(timeout=timeout_seconds)
        except OSError as error:
            raise PeerError(f"it ended: {self._last_word()}") from error
        except Empty as error:
            raise PeerError(f"no answer to {wish['do']!r} in {timeout_seconds:.0f} s") from error
        if not line:
            raise PeerError(f"it ended: {self._last_word()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(str(answer["error"]))
        return answer

    def since_start(self) -> float:
        """Seconds since the process was started."""
        return time.perf_counter() - self.started

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self._answers.put(line)
        self._answers.put("")

    def _last_word(self) -> str:
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "no message"
