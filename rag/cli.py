"""The `kotae` command: index, search, ask, serve, eval, doctor.

Results go to stdout, progress and messages to stderr. Exit status: 0 done, 1 a gate or a check
failed, 2 the user's mistake, told in one line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import RagError

if TYPE_CHECKING:
    from rag.assistant import Assistant
    from rag.config import Settings

EXAMPLES = """examples:
  kotae serve                                   chat page on http://127.0.0.1:8000
  kotae ask "Lambdaの最大実行時間は？"
  kotae search "ロールバックの条件" -k 3 --json
  kotae index --corpus ~/notes --index ~/.kotae-index
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its status."""
    options = build_parser().parse_args(arguments)
    try:
        status = COMMANDS[options.command](options)
    except RagError as error:
        print_error(error)
        status = 2
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # `kotae search … | head`
        sys.stderr.close()
        status = 0
    sys.exit(status)


def build_parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    parser = argparse.ArgumentParser(
        prog="kotae",
        description="Answers questions from your own Japanese notes, citing the exact words.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    index = _command(commands, "index", "build the index, or bring it up to date")
    index.add_argument("--rebuild", action="store_true", help="build it anew whatever is there")
    index.add_argument("--json", action="store_true", help="one JSON object on stdout")

    search = _command(commands, "search", "find the passages for a question")
    search.add_argument("question", metavar="QUESTION")
    search.add_argument("-k", "--top-k", type=int, metavar="N", help="how many (5)")
    search.add_argument("--tag", action="append", default=[], help="only notes with this tag")
    search.add_argument("--json", action="store_true", help="one JSON object on stdout")

    ask = _command(commands, "ask", "answer a question from the notes")
    ask.add_argument("question", metavar="QUESTION")
    ask.add_argument("--model", help="answer model (extractive)")
    ask.add_argument("--tag", action="append", default=[], help="only notes with this tag")
    ask.add_argument("--json", action="store_true", help="one JSON object on stdout")

    serve = _command(commands, "serve", "start the chat page and the HTTP API")
    serve.add_argument("--host", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on (8000)")

    doctor = _command(commands, "doctor", "tell what is wrong, and what to do")
    doctor.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


def run_index(options: argparse.Namespace) -> int:
    """Builds or refreshes the index; names the notes that could not be read."""
    from rag.embedding import open_embedder
    from rag.indexing import fresh_snapshot
    from rag.progress import progress_bars

    settings = _settings(options)
    with progress_bars() as report:
        embedder = open_embedder(
            settings.embedder, lambda done, total: report("model", done, total)
        )
        snapshot, corpus = fresh_snapshot(settings, embedder, report, options.rebuild)
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
    assistant = _open(settings)
    _say(f"Kotae → http://{settings.host}:{settings.port}  (Ctrl+C で終了 / to stop)")
    uvicorn.run(
        create_app(settings, assistant), host=settings.host, port=settings.port, log_level="warning"
    )
    return 0


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
    "doctor": run_doctor,
}


def print_error(error: RagError) -> None:
    """One line: what was wrong, the value, what to do."""
    _say(f"kotae: {error}")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.add_argument("--corpus", type=Path, metavar="DIR", help="folder of notes (corpus)")
    command.add_argument("--index", type=Path, metavar="DIR", help="folder of the index (index)")
    command.add_argument("--embedder", metavar="NAME", help="embedding model: name or folder")
    return command


def _settings(options: argparse.Namespace) -> Settings:
    from rag.config import Settings, load_settings

    given = {name: value for name, value in vars(options).items() if name in Settings.model_fields}
    return load_settings(**given)


def _open(settings: Settings) -> Assistant:
    from rag.assistant import Assistant
    from rag.progress import progress_bars

    with progress_bars() as report:
        return Assistant.open(settings, report)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))  # noqa: T201


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)  # noqa: T201
