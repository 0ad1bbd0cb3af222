"""multilingual-e5-small as it was published, without Kotae's adapter: what the peers are given."""

from __future__ import annotations

from pathlib import Path

from rag.bundled_model import write_sentence_transformer
from rag.bundled_weights import find_weight_file, read_bundled_weights

COMPLETE = "complete"


def open_plain_model(folder: Path) -> Path:
    """A sentence-transformers folder, written first where it is missing."""
    if not (folder / COMPLETE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_sentence_transformer(folder, read_bundled_weights(find_weight_file()))
        (folder / COMPLETE).touch()
    return folder
