"""`kotae eval`: scores retrieval and answers on gold questions."""

from __future__ import annotations

import argparse
from pathlib import Path

from rag.commands.command import Command, add_json
from rag.commands.opening import settings_of


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `kotae eval`."""
    question_set = parser.add_mutually_exclusive_group()
    question_set.add_argument(
        "--gold", type=Path, nargs="+", default=(), metavar="FILE", help="gold questions (JSONL)"
    )
    question_set.add_argument("--squad", type=Path, metavar="FILE", help="a SQuAD-format set")
    question_set.add_argument("--beir", type=Path, metavar="DIR", help="a BEIR folder")
    parser.add_argument(
        "--split", choices=("tune", "held", "all"), default="all", help="only these questions"
    )
    parser.add_argument(
        "--legs", nargs="*", metavar="LEG", help="legs also run alone (all; none for public sets)"
    )
    parser.add_argument("--baseline", type=Path, metavar="DIR", help="compare with it: the gate")
    parser.add_argument("--write-baseline", type=Path, metavar="DIR", help="make it the baseline")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write index.html and exports")
    add_json(parser)


def run_evaluation(options: argparse.Namespace) -> int:
    """Scores the gold questions or a public set; status 1 when the gate fails."""
    from eval.evaluation import EvalOptions, run_eval
    from eval.models import compare_models

    names: list[str] = options.embedder or []
    options.embedder = names[0] if names else None

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
    settings = settings_of(options)
    if len(names) > 1:
        return compare_models(chosen, settings, names)
    return run_eval(chosen, settings)


COMMAND = Command(
    name="eval",
    summary="score retrieval and answers on gold questions",
    details=(
        "With --baseline it fails (exit status 1) on a loss that chance does not explain, so it "
        "can guard every change of the notes. With several --embedder it compares embedding models "
        "on your notes: quality, speed and size in one table."
    ),
    examples=(
        "kotae eval --gold gold.jsonl --corpus ~/notes --report report",
        "kotae eval --gold gold.jsonl --corpus ~/notes --write-baseline baseline",
        "kotae eval --gold gold.jsonl --corpus ~/notes --baseline baseline",
        "kotae eval --embedder e5-small --embedder cl-nagoya/ruri-v3-30m",
    ),
    add_options=add_options,
    run=run_evaluation,
    compares_models=True,
)
