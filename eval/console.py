"""What `kotae eval` says in a terminal: progress on stderr, tables and the verdict on stdout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from eval.exports import estimate_words, flip_lines, set_words
from eval.gate import GateResult
from eval.intervals import Estimate
from eval.runs import WHOLE, Evaluation, Step
from eval.summary import Figures, Summary, group_size

RANK_COLUMNS = ("hit@1", "hit@5", "recall@5", "mrr@10", "ndcg@10")
TAG_COLUMNS = ("hit@1", "hit@5", "ndcg@10", "decision_right", "auroc")
_HEADS = {"decision_right": "decision"}
_STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red"}


@contextmanager
def progress_on_stderr() -> Iterator[Step]:
    """A callback that draws one bar for each thing being done: model, index, each run."""
    columns = (
        TextColumn("{task.description:>8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, TaskID] = {}

        def step(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what)
            progress.update(tasks[what], completed=done, total=total)

        yield step


def print_summary(console: Console, evaluation: Evaluation, summary: Summary) -> None:
    """The set, then a table each for runs, the other figures, splits and tags."""
    console.print(
        f"[bold]{escape(evaluation.name)}[/]: {set_words(evaluation)}; small print: 95% intervals",
        soft_wrap=True,
    )
    for note in evaluation.notes:
        console.print(f"note: {escape(note)}", soft_wrap=True)
    _print_groups(console, "run", summary.runs, RANK_COLUMNS)
    _print_others(console, summary)
    if len(summary.splits) > 1:
        _print_groups(console, "split", summary.splits, TAG_COLUMNS)
    _print_groups(console, "tag", summary.tags, TAG_COLUMNS)


def print_gate(console: Console, gate: GateResult) -> None:
    """Every check, what flipped in it, and the verdict."""
    for note in gate.notes:
        console.print(f"note: {escape(note)}", soft_wrap=True)
    for check in gate.checks:
        mark = f"[{_STYLES[check.status]}]{check.status.upper():4}[/]"
        console.print(f"{mark} {escape(check.name)}: {escape(check.message)}", soft_wrap=True)
        for line in flip_lines(check):
            console.print(f"     {escape(line)}", soft_wrap=True)
    verdict = "[bold green]gate passed[/]" if gate.passed else "[bold red]gate FAILED[/]"
    console.print(f"{verdict} on {gate.compared} questions")


def _print_groups(
    console: Console,
    what: str,
    groups: Mapping[str, Figures],
    columns: Sequence[str],
) -> None:
    present = [name for name in columns if any(name in figures for figures in groups.values())]
    if not present:
        return
    table = Table(title=f"by {what}", title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column(what, overflow="fold", min_width=8)
    table.add_column("n", no_wrap=True)
    for name in present:
        table.add_column(_HEADS.get(name, name), no_wrap=True)
    for group, figures in groups.items():
        cells = (estimate_cell(figures[name]) if name in figures else "–" for name in present)
        first = next((figures[name].n for name in present if name in figures), 0)
        size = first if what == "run" else group_size(figures)
        table.add_row(escape(group), str(size), *cells)
    console.print(table)


def _print_others(console: Console, summary: Summary) -> None:
    table = Table(
        "figure", "value (95% interval)", "n", title="answers", title_justify="left", box=SIMPLE
    )
    for metric, figure in summary.runs[WHOLE].items():
        if "@" not in metric:
            table.add_row(metric, estimate_words(figure), str(figure.n))
    for what, figures in summary.latency_ms.items():
        for quantile, figure in figures.items():
            words = f"{figure.value:.1f} ({figure.low:.1f}–{figure.high:.1f})"
            table.add_row(f"{what} {quantile} ms", words, str(figure.n))
    if table.row_count:
        console.print(table)


def estimate_cell(estimate: Estimate) -> str:
    """The value above its interval, narrow enough for eight columns of a terminal."""
    low, high = (f"{edge:.3f}".removeprefix("0") for edge in (estimate.low, estimate.high))
    return f"{estimate.value:.3f}\n[dim]{low}–{high}[/]"
