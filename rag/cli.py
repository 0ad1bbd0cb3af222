"""The `kotae` command: index, search, ask, serve, eval, slack, doctor.

Results go to stdout, progress and messages to stderr. Exit status: 0 done, 1 a gate or a check
failed, 2 the user's mistake, told in one line.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from rag.errors import ConfigError, RagError
from rag.options import build_parser

if TYPE_CHECKING:
    from rag.assistant import Assistant
    from rag.config import Settings


UNSEEN = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if code != ord("\t")}
"""Control characters: a note must not be able to steer the terminal."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # what the terminal cannot show is escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except RagError as error:
        print_error(error)
        status = 2
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # `kotae search … | head`
        _drop_stdout()
        status = 0
    except OSError as error:  # such as a full disk behind stdout
        _drop_stdout()
        print_error(error)
        status = 2
    sys.exit(status)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = build_parser().parse_args(arguments)
    except SystemExit as done:  # --help, or a mistake that is told already
        return int(done.code or 0)
    return COMMANDS[options.command](options)


def run_index(options: argparse.Namespace) -> int:
    """Builds or refreshes the index, anew if it is unusable; names notes that cannot be read."""
    from rag.embedding import open_embedder
    from rag.errors import IndexCorruptError, IndexMismatchError
    from rag.indexing import fresh_snapshot
    from rag.progress import progress_bars

    settings = _settings(options)
    with progress_bars() as report:
        embedder = open_embedder(
            settings.embedder, lambda done, total: report("model", done, total)
        )
        try:
            snapshot, corpus = fresh_snapshot(settings, embedder, report, options.rebuild)
        except (IndexMismatchError, IndexCorruptError) as error:
            _say(f"{error}. Doing so now")
            snapshot, corpus = fresh_snapshot(settings, embedder, report, rebuild=True)
    for problem in corpus.problems:
        _say(f"skipped {problem}")
    counts = snapshot.manifest.counts
    if options.json:
        _print_json(
            {
                "snapshot_id": snapshot.manifest.snapshot_id,
                "counts": dict(counts),
                "skipped": [{"path": p.path, "reason": p.reason} for p in corpus.problems],
            }
        )
    else:
        print(  # noqa: T201
            f"{counts['documents']} notes, {counts['chunks']} chunks → {settings.index} "
            f"({snapshot.manifest.snapshot_id})"
        )
    return 0


def run_search(options: argparse.Namespace) -> int:
    """Prints the passages found."""
    from rag.presenting import search_json, search_lines

    settings = _settings(options)
    assistant = _open(settings)
    result = assistant.search(options.question, top_k=settings.top_k, tags=options.tag)
    if options.json:
        _print_json(search_json(result))
    else:
        _print_lines(search_lines(result))
    return 0


def run_ask(options: argparse.Namespace) -> int:
    """Prints the answer and what it cites."""
    from rag.presenting import answer_json, answer_lines

    settings = _settings(options)
    assistant = _open(settings)
    answer = assistant.ask(
        options.question, top_k=settings.top_k, tags=options.tag, model=options.model
    )
    if options.json:
        _print_json(answer_json(answer))
    else:
        _print_lines(answer_lines(answer))
    return 0


def run_serve(options: argparse.Namespace) -> int:
    """Indexes, then serves the page and the API until stopped."""
    import uvicorn

    from api.app import create_app

    settings = _settings(options)
    _check_address(settings)
    assistant = _open(settings)
    _say(f"Kotae → http://{settings.host}:{settings.port}  (Ctrl+C で終了 / to stop)")
    uvicorn.run(
        create_app(settings, assistant), host=settings.host, port=settings.port, log_level="warning"
    )
    return 0


def run_slack(options: argparse.Namespace) -> int:
    """Indexes, then answers in Slack until stopped."""
    import asyncio

    from api.slack import socket_runner

    settings = _settings(options)
    run = socket_runner(settings)  # what is missing shows before anything slow is done
    assistant = _open(settings)
    with suppress(asyncio.CancelledError):  # SIGTERM
        asyncio.run(run(assistant, _say))
    return 0


def run_evaluation(options: argparse.Namespace) -> int:
    """Scores the gold questions or a public set; status 1 when the gate fails."""
    # The one place where the library's command reaches for the harness above it.
    from eval.evaluation import EvalOptions, run_eval

    chosen = EvalOptions(
        gold=tuple(options.gold),
        squad=options.squad,
        beir=options.beir,
        split=options.split,
        legs=None if options.legs is None else tuple(options.legs),
        baseline=options.baseline,
        write_baseline=options.write_baseline,
        report=options.report,
        json=options.json,
    )
    return run_eval(chosen, _settings(options))


def run_doctor(options: argparse.Namespace) -> int:
    """Prints every check; status 1 when one fails."""
    from rag.doctor import diagnose

    checks = diagnose(_settings(options))
    if options.json:
        _print_json({"ok": all(c.ok for c in checks), "checks": [asdict(c) for c in checks]})
    else:
        for check in checks:
            _print_lines([f"{'✔' if check.ok else '✘'} {check.name}: {check.message}"])
            if not check.ok:
                _print_lines([f"    → {check.remediation}"])
    return 0 if all(check.ok for check in checks) else 1


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "index": run_index,
    "search": run_search,
    "ask": run_ask,
    "serve": run_serve,
    "eval": run_evaluation,
    "slack": run_slack,
    "doctor": run_doctor,
}


def print_error(error: RagError | OSError) -> None:
    """One line: what was wrong, the value, what to do."""
    _say(f"kotae: {' '.join(str(error).splitlines())}")


def _settings(options: argparse.Namespace) -> Settings:
    from rag.config import Settings, load_settings

    given = {name: value for name, value in vars(options).items() if name in Settings.model_fields}
    return load_settings(**given)


def _open(settings: Settings) -> Assistant:
    from rag.assistant import Assistant
    from rag.progress import progress_bars

    with progress_bars() as report:
        return Assistant.open(settings, report)


def _check_address(settings: Settings) -> None:
    """Raises ConfigError, before anything slow is done, when it cannot be listened on."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while ")[0]
        raise ConfigError(
            f"cannot listen on {settings.host}:{settings.port} ({reason}); "
            "stop the program that does, or choose another with --port N or --host ADDRESS"
        ) from error


def _drop_stdout() -> None:
    """Nobody reads it: what Python still writes there at exit must not fail again."""
    with suppress(io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))  # noqa: T201


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line.translate(UNSEEN))  # noqa: T201
