"""`kotae serve --watch` as a process, and what that holds: memory, descriptors, threads."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rag.snapshot_files import read_documents
from rag.types import Document

START_SECONDS = 600
STOP_SECONDS = 20
LOOK_SECONDS = 0.05

COMMAND = "from rag.cli import main; main()"
WITH_TINY_EMBEDDER = (
    "from rag import embedding; from tests.fakes import BigramEmbedder; "
    f"embedding.EMBEDDERS = {{'bigram': lambda name, progress: BigramEmbedder()}}; {COMMAND}"
)


@dataclass(frozen=True)
class Reading:
    """What a process held at one moment."""

    rss_mb: float
    descriptors: int
    threads: int


class WatchedServer:
    """The running service; `exit_status` and `log` tell how it ended."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self._log = log

    def read(self) -> Reading:
        """What it holds now, as Linux counts it."""
        folder = Path("/proc", str(self.process.pid))
        status = dict(re.findall(r"^(\w+):\s+(\d+)", (folder / "status").read_text(), re.M))
        return Reading(
            rss_mb=int(status["VmRSS"]) / 1024,
            descriptors=len(os.listdir(folder / "fd")),
            threads=int(status["Threads"]),
        )

    def stop(self) -> int | None:
        """Asks it to end; its exit status, or None if it had to be killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    @property
    def log(self) -> str:
        """All that it has said."""
        return self._log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def watched_server(folder: Path, tiny: bool) -> Iterator[WatchedServer]:
    """The service over `folder`/corpus once it is ready; it is gone afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    paths = ("--corpus", str(folder / "corpus"), "--index", str(folder / "index"))
    arguments = ["serve", "--watch", "--port", str(port), *paths]
    script = WITH_TINY_EMBEDDER if tiny else COMMAND
    environment = os.environ | (
        {"KOTAE_EMBEDDER": "bigram", "KOTAE_ANSWER_THRESHOLD": "0"} if tiny else {}
    )
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            cwd=Path(__file__).parent.parent,
            env=environment,
            stdout=output,
            stderr=output,
        )
    server = WatchedServer(process, f"http://127.0.0.1:{port}", log)
    try:
        _wait_until_it_listens(server, port)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait_until_it_listens(server: WatchedServer, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"the service did not start:\n{server.log}")


class Snapshots:
    """The notes of every snapshot that ever stood in an index, read before it was pruned."""

    def __init__(self, index: Path) -> None:
        self._folder = index / "snapshots"
        self._notes: dict[str, dict[str, Document]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Snapshots:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def __len__(self) -> int:
        return len(self._notes)

    def __getitem__(self, snapshot_id: str) -> dict[str, Document]:
        deadline = time.monotonic() + 2  # an answer may be quicker than the next look
        while snapshot_id not in self._notes and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return self._notes[snapshot_id]

    def texts_of(self, doc_id: str) -> set[str]:
        """Every text that a note has had."""
        return {notes[doc_id].text for notes in list(self._notes.values()) if doc_id in notes}

    def _look(self) -> None:
        while not self._stop.is_set():
            for folder in self._folder.iterdir() if self._folder.is_dir() else ():
                if folder.name[0] != "." and folder.name not in self._notes:
                    self._notes[folder.name] = read_documents(folder / "documents.jsonl")
            self._stop.wait(LOOK_SECONDS)
