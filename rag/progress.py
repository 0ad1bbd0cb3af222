"""Progress bars on stderr, in Japanese and English, shown only while something takes time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rag.embedding_run import Report

LABELS = {
    "model": "モデルの準備 / preparing the model",
    "reading": "ノートを読む / reading notes",
    "chunking": "分割 / chunking",
    "embedding": "埋め込み / embedding",
    "terms": "単語の索引 / indexing words",
    "writing": "書き込み / writing",
}


@contextmanager
def progress_bars() -> Iterator[Report]:
    """A report that draws one bar a stage; stages without work draw none."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    bars = Progress(*columns, console=Console(stderr=True), transient=False)
    tasks: dict[str, TaskID] = {}

    def report(stage: str, done: int, total: int) -> None:
        if total <= 1 or stage == "reading":
            return
        if stage not in tasks:
            tasks[stage] = bars.add_task(LABELS.get(stage, stage), total=total)
            bars.start()
        bars.update(tasks[stage], completed=done, total=total)

    try:
        yield report
    finally:
        if tasks:  # else rich would still print an empty line
            bars.stop()
