"""How long a new process takes to answer: `python -m benchmarks.startup [--index DIR] …`.

`kotae search` from nothing to its answer, and `kotae serve` from nothing until /readyz says yes;
the index is brought up to date first. Memory is what the process holds in the end.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rag.assistant import Assistant
from rag.config import load_settings
from rag.progress import progress_bars

QUESTION = "ロールバックが自動で起きる条件は？"
DEADLINE_SECONDS = 60


def kotae(*arguments: str) -> list[str]:
    """A command line that runs `kotae` with this Python."""
    return [sys.executable, "-c", "from rag.cli import main; main()", *arguments]


def time_search(options: Sequence[str]) -> float:
    """Seconds of one `kotae search`."""
    started = time.perf_counter()
    subprocess.run(kotae("search", QUESTION, "--json", *options), check=True, capture_output=True)
    return time.perf_counter() - started


@contextmanager
def serving(options: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(process id, port) of a server that is just being started."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = kotae("serve", "--port", str(port), *options)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid, port
        finally:
            process.terminate()


def time_server(options: Sequence[str]) -> tuple[float, float, int]:
    """Seconds until it is ready, seconds of its first question, and its memory in MB then."""
    started = time.perf_counter()
    with serving(options) as (process_id, port):
        wait_until_ready(port)
        ready = time.perf_counter()
        ask(port, QUESTION)
        return ready - started, time.perf_counter() - ready, resident_megabytes(process_id)


def wait_until_ready(port: int) -> None:
    """Returns once the server answers questions; raises TimeoutError."""
    deadline = time.perf_counter() + DEADLINE_SECONDS
    while not is_ready(port):
        if time.perf_counter() > deadline:
            raise TimeoutError(f"the server was not ready after {DEADLINE_SECONDS} s")
        time.sleep(0.01)


def is_ready(port: int) -> bool:
    """Whether the server answers questions already."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def ask(port: int, question: str) -> None:
    """One question over HTTP."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    body = json.dumps({"question": question})
    connection.request("POST", "/api/search", body, {"Content-Type": "application/json"})
    connection.getresponse().read()
    connection.close()


def resident_megabytes(process_id: int) -> int:
    """Memory of a process; 0 where the system does not tell (only Linux does)."""
    try:
        lines = Path(f"/proc/{process_id}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS")), 0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints least and median of several runs."""
    parser = argparse.ArgumentParser("python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--index", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    given = {name: getattr(options, name) for name in ("corpus", "index") if getattr(options, name)}
    with progress_bars() as report:
        Assistant.open(load_settings(**given), report)
    passed = [part for name, path in given.items() for part in (f"--{name}", str(path))]
    searches = [time_search(passed) for _ in range(options.runs)]
    servers = [time_server(passed) for _ in range(options.runs)]
    ready, first, memory = zip(*servers, strict=True)
    for label, seconds in (
        ("kotae search, whole process", searches),
        ("kotae serve, until ready", ready),
        ("its first question", first),
    ):
        print(f"{label:<30}{min(seconds):7.2f}{statistics.median(seconds):7.2f}  s")  # noqa: T201
    print(f"{'its memory':<30}{min(memory):7}{statistics.median(memory):7.0f}  MB")  # noqa: T201


if __name__ == "__main__":
    main()
