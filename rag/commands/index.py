"""`kotae index`: builds the index, or brings it up to date."""

from __future__ import annotations

import argparse

from rag.commands.command import Command, add_json
from rag.commands.opening import settings_of
from rag.commands.terminal import print_json, print_lines, say


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `kotae index`."""
    parser.add_argument("--rebuild", action="store_true", help="build it anew whatever is there")
    add_json(parser)


def run_index(options: argparse.Namespace) -> int:
    """Builds or refreshes the index, anew if it is unusable; names notes that cannot be read."""
    from rag.embedding import open_embedder
    from rag.errors import IndexCorruptError, IndexMismatchError
    from rag.indexing import ensure_published, fresh_snapshot
    from rag.progress import progress_bars

    settings = settings_of(options)
    with progress_bars() as report:
        embedder = open_embedder(
            settings.embedder, lambda done, total: report("model", done, total)
        )
        try:
            snapshot, corpus = fresh_snapshot(settings, embedder, report, options.rebuild)
        except (IndexMismatchError, IndexCorruptError) as error:
            say(f"{error}. Doing so now")
            snapshot, corpus = fresh_snapshot(settings, embedder, report, rebuild=True)
        ensure_published(snapshot, settings)
    for problem in corpus.problems:
        say(f"skipped {problem}")
    counts, snapshot_id = snapshot.manifest.counts, snapshot.manifest.snapshot_id
    if options.json:
        skipped = [{"path": p.path, "reason": p.reason} for p in corpus.problems]
        print_json({"snapshot_id": snapshot_id, "counts": dict(counts), "skipped": skipped})
    else:
        held = f"{counts['documents']} notes, {counts['chunks']} chunks"
        print_lines([f"{held} → {settings.index} ({snapshot_id})"])
    return 0


COMMAND = Command(
    name="index",
    summary="build the index, or bring it up to date",
    details=(
        "The other commands do so by themselves. Run it to build ahead of time, to see which "
        "notes cannot be read, or to mend a damaged index."
    ),
    examples=(
        "kotae index --corpus ~/notes --index ~/.kotae-index",
        "kotae index --rebuild",
    ),
    add_options=add_options,
    run=run_index,
)
