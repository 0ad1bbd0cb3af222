"""Stage 5: many texts → their vectors, a slice at a time; an interrupted run is taken up again.

What is embedded is kept beside the index until the snapshot stands there: by text, for the notes
may change before the next run.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from rag.protocols import Embedder, EmbedPassages, Matrix, TokenVectors
from rag.token_segments import dequantize, quantize

Report = Callable[[str, int, int], None]
"""Called with (stage, done, total); progress.LABELS names the stages."""
Embedded = tuple[Matrix, TokenVectors]

SLICE = 1024
"""Texts embedded at a time: bounds the memory their token vectors take, and what a crash costs."""
KEY_BYTES = 16
SCRATCH = "scratch"
FRAME_CHARS = 16
"""What prefix and special tokens add to the work for a text, in characters."""


class EmbeddingStore:
    """Embedded texts on disk, one file a slice; a file that cannot be used counts as none."""

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

    def __contains__(self, text: str) -> bool:
        return _key(text) in self._places

    def read(self, texts: Sequence[str]) -> dict[str, Embedded]:
        """Those of `texts` that it holds, by text; each file is read once."""
        found: dict[str, Embedded] = {}
        places = {text: self._places[_key(text)] for text in texts if text in self}
        for path in sorted({path for path, _ in places.values()}):
            with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile):
                embedded = read_embedded(path)
                found |= {text: embedded[row] for text, (at, row) in places.items() if at == path}
        return found

    def save(self, texts: Sequence[str], embedded: Sequence[Embedded]) -> None:
        """Keeps one slice more; a full disk is left to the writing of the snapshot to tell."""
        keys = [_key(text) for text in texts]
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


def write_embedded(path: Path, keys: Sequence[bytes], embedded: Sequence[Embedded]) -> None:
    """One row a text; token vectors in eight bits, as the snapshot keeps them."""
    tokens = [own for _, own in embedded]
    codes, scales = quantize(np.concatenate([own.vectors for own in tokens]))
    np.savez(
        path,
        keys=np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES),
        vectors=np.stack([vector for vector, _ in embedded]),
        codes=codes,
        scales=scales,
        ids=np.concatenate([own.ids for own in tokens]),
        starts=np.concatenate([own.starts for own in tokens]),
        ends=np.cumsum([len(own.ids) for own in tokens]),
    )


def read_embedded(path: Path) -> list[Embedded]:
    """What `write_embedded` was given, row by row."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        vectors, ends = arrays["vectors"], arrays["ends"].tolist()
        rows: npt.NDArray[np.float32] = dequantize(arrays["codes"], arrays["scales"])
        ids, starts = arrays["ids"], arrays["starts"]
    spans = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    tokens = [TokenVectors(rows[span], ids[span], starts[span]) for span in spans]
    return list(zip(vectors, tokens, strict=True))


def embed_in_slices(
    texts: Sequence[str], embedder: Embedder, report: Report, store: EmbeddingStore | None = None
) -> Iterator[Embedded]:
    """(vector, token vectors) of each text in order, never more than a slice of them in memory.

    Progress counts the characters still to be embedded: texts differ too much in length for the
    time left to be told from their number.
    """
    left = sum(map(_work, (text for text in texts if store is None or text not in store)))
    done = 0
    report("embedding", 0, left)
    with embedder.bulk() as embed_passages:
        for start in range(0, len(texts), SLICE):
            part = texts[start : start + SLICE]
            known = store.read(part) if store else {}
            new = [text for text in part if text not in known]
            own = sum(map(_work, new))
            embedded = _embed_slice(new, embed_passages, report, (done, own, left))
            done += own
            if store is not None and new and len(texts) > SLICE:
                store.save(new, embedded)
            fresh = iter(embedded)
            yield from (known[text] if text in known else next(fresh) for text in part)


def _embed_slice(
    texts: Sequence[str],
    embed_passages: EmbedPassages,
    report: Report,
    work: tuple[int, int, int],
) -> list[Embedded]:
    """The slice embedded; of `work` = (done before, of this slice, in all) progress is told."""
    before, own, total = work

    def tell(done: int, of: int) -> None:
        report("embedding", before + own * done // max(of, 1), total)

    return list(zip(*embed_passages(texts, tell), strict=True)) if texts else []


def _work(text: str) -> int:
    return len(text) + FRAME_CHARS


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]
