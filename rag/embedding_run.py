"""Stage 5: many passages → their vectors, a slice at a time; an interrupted run is taken up again.

What is embedded is kept beside the index until the snapshot stands there: by text, for the notes
may change before the next run.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from rag.protocols import EmbeddedPassage, Embedder, EmbedPassages, PassageInput, TokenVectors
from rag.token_segments import dequantize, quantize

Report = Callable[[str, int, int], None]
"""Called with (stage, done, total); progress.LABELS names the stages."""

SLICE = 512
"""Passages embedded at a time: bounds the memory they take, and what a crash costs."""
KEY_BYTES = 16
SCRATCH = "scratch"
FRAME_CHARS = 16
"""What prefix and special tokens add to the work for a passage, in characters."""


class EmbeddingStore:
    """Embedded passages on disk, one file a slice; a file that cannot be used counts as none."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._root = folder
        self._folder = folder / fingerprint
        self.scratch = folder / SCRATCH
        """Folder for what is of use to one run alone; what a killed one left there is removed."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self._places: dict[bytes, tuple[Path, int]] = {}
        for path in sorted(self._folder.glob("*.npz")):
            with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile):
                with path.open("rb") as file:
                    keys = np.load(file, allow_pickle=False)["keys"]
                self._places |= {key.tobytes(): (path, row) for row, key in enumerate(keys)}

    def __contains__(self, passage: PassageInput) -> bool:
        return _key(passage) in self._places

    def read(self, passages: Sequence[PassageInput]) -> dict[PassageInput, EmbeddedPassage]:
        """Those of `passages` that it holds; each file is read once."""
        found: dict[PassageInput, EmbeddedPassage] = {}
        places = {passage: self._places[_key(passage)] for passage in passages if passage in self}
        for path in sorted({path for path, _ in places.values()}):
            with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile):
                embedded = read_embedded(path)
                found |= {own: embedded[row] for own, (at, row) in places.items() if at == path}
        return found

    def save(self, passages: Sequence[PassageInput], embedded: Sequence[EmbeddedPassage]) -> None:
        """Keeps one slice more; a full disk is left to the writing of the snapshot to tell."""
        keys = [_key(passage) for passage in passages]
        path = self._folder / f"{hashlib.sha256(b''.join(keys)).hexdigest()[:16]}.npz"
        aside = path.with_suffix(".new.npz")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_embedded(aside, keys, embedded)
            aside.rename(path)
        except OSError:
            with suppress(OSError):
                aside.unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes everything: the snapshot holds it now."""
        shutil.rmtree(self._root, ignore_errors=True)


def write_embedded(path: Path, keys: Sequence[bytes], embedded: Sequence[EmbeddedPassage]) -> None:
    """One row a passage; token vectors in eight bits, as the snapshot keeps them."""
    tokens = [own.tokens for own in embedded]
    codes, scales = quantize(np.concatenate([own.vectors for own in tokens]))
    np.savez(
        path,
        keys=np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES),
        vectors=np.concatenate([own.vectors for own in embedded]),
        units=np.cumsum([0, *(len(own.vectors) for own in embedded)]),
        codes=codes,
        scales=scales,
        ids=np.concatenate([own.ids for own in tokens]),
        starts=np.concatenate([own.starts for own in tokens]),
        ends=np.cumsum([0, *(len(own.ids) for own in tokens)]),
    )


def read_embedded(path: Path) -> list[EmbeddedPassage]:
    """What `write_embedded` was given, row by row."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        vectors, units, ends = arrays["vectors"], arrays["units"], arrays["ends"]
        rows: npt.NDArray[np.float32] = dequantize(arrays["codes"], arrays["scales"])
        ids, starts = arrays["ids"], arrays["starts"]
    return [
        EmbeddedPassage(
            vectors[first:last],
            TokenVectors(rows[start:end], ids[start:end], starts[start:end]),
        )
        for (first, last), (start, end) in zip(pairwise(units), pairwise(ends), strict=True)
    ]


def embed_in_slices(
    passages: Sequence[PassageInput],
    embedder: Embedder,
    report: Report,
    store: EmbeddingStore | None = None,
) -> Iterator[EmbeddedPassage]:
    """The passages embedded in order, never more than a slice of them in memory.

    Progress counts the characters still to be embedded: passages differ too much in length for the
    time left to be told from their number.
    """
    left = sum(map(_work, (own for own in passages if store is None or own not in store)))
    done = 0
    report("embedding", 0, left)
    with embedder.bulk() as embed_passages:
        for start in range(0, len(passages), SLICE):
            part = passages[start : start + SLICE]
            known = store.read(part) if store else {}
            new = [passage for passage in part if passage not in known]
            own = sum(map(_work, new))
            embedded = _embed_slice(new, embed_passages, report, (done, own, left))
            done += own
            if store is not None and new and len(passages) > SLICE:
                store.save(new, embedded)
            fresh = iter(embedded)
            yield from (known[one] if one in known else next(fresh) for one in part)


def _embed_slice(
    passages: Sequence[PassageInput],
    embed_passages: EmbedPassages,
    report: Report,
    work: tuple[int, int, int],
) -> list[EmbeddedPassage]:
    """The slice embedded; of `work` = (done before, of this slice, in all) progress is told."""
    before, own, total = work

    def tell(done: int, of: int) -> None:
        report("embedding", before + own * done // max(of, 1), total)

    return embed_passages(passages, tell) if passages else []


def _work(passage: PassageInput) -> int:
    return len(passage.text) + FRAME_CHARS


def _key(passage: PassageInput) -> bytes:
    identity = f"{passage.head} {passage.units}\0{passage.text}"
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]
