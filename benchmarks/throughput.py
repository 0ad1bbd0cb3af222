"""How many questions a second a server answers: `python -m benchmarks.throughput [--index DIR] …`.

A server in a process of its own, asked over HTTP by 1, 4 and 16 clients on end, each question once.
The clients need some of the same processors.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local

from benchmarks.startup import serving, wait_until_ready
from eval.gold import load_gold

GOLD = Path(__file__).parents[1] / "eval" / "gold"
CLIENTS = (1, 4, 16)
WARM_UP = 16


def answer_all(questions: Sequence[str], port: int, clients: int) -> list[float]:
    """Seconds that each question took, its client's turn included."""
    own = local()

    def answer(question: str) -> float:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection("127.0.0.1", port)
        started = time.perf_counter()
        body = json.dumps({"question": question})
        own.connection.request("POST", "/api/search", body, {"Content-Type": "application/json"})
        own.connection.getresponse().read()
        return time.perf_counter() - started

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(answer, questions))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints questions a second and milliseconds a question by the number of clients."""
    parser = argparse.ArgumentParser("python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--index", type=Path)
    options = parser.parse_args(arguments)
    given = {name: getattr(options, name) for name in ("corpus", "index") if getattr(options, name)}
    passed = [part for name, path in given.items() for part in (f"--{name}", str(path))]
    questions = [item.question for item in load_gold(sorted(GOLD.glob("aws-*.jsonl")))]
    for clients in CLIENTS:
        # A new server for each number: the one before remembers its questions.
        with serving(passed) as (_, port):
            wait_until_ready(port)
            answer_all(questions[:WARM_UP], port, clients)
            started = time.perf_counter()
            seconds = answer_all(questions[WARM_UP:], port, clients)
            rate = len(seconds) / (time.perf_counter() - started)
        p95 = statistics.quantiles(seconds, n=20)[-1]
        print(  # noqa: T201
            f"{clients:>3} clients: {rate:6.1f} questions/s, median "
            f"{statistics.median(seconds) * 1000:6.1f} ms, p95 {p95 * 1000:6.1f} ms"
        )


if __name__ == "__main__":
    main()
