"""Stage 5, the files of token vectors: segments, each written once and never changed.

A snapshot shares large segments with the one before it: the same file under a second name. So a
changed note costs the writing of its own token vectors and of what stands in small segments.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.errors import IndexWriteError
from rag.protocols import Matrix, Offsets, TokenVectors

SHARED_BYTES = 64_000_000
"""Smaller segments are written anew, all into one: a small index shares nothing with another."""
LEAST_NEEDED = 0.5
"""A segment of which less than this share is needed is written anew without the rest."""
_BUFFER_BYTES = 1 << 20

Codes = npt.NDArray[np.int8]
Records = npt.NDArray[np.uint8]
"""A row a token: its code, then scale, id and start of four bytes each."""


@dataclass(frozen=True, slots=True)
class TokenCodes:
    """`TokenVectors` made small: vectors ≈ codes × scales."""

    codes: Codes
    scales: Matrix
    ids: Offsets
    starts: Offsets

    @classmethod
    def of(cls, records: Records) -> TokenCodes:
        """What the records hold; nothing is copied."""
        dim = records.shape[1] - 12
        scales, ids, starts = (records[:, at : at + 4] for at in range(dim, dim + 12, 4))
        return cls(
            records[:, :dim].view(np.int8),
            scales.view("<f4")[:, 0],
            ids.view("<i4")[:, 0],
            starts.view("<i4")[:, 0],
        )


def no_records(count: int, dim: int) -> Records:
    """Room for so many."""
    return np.zeros((count, dim + 12), np.uint8)


def pack(tokens: TokenVectors) -> Records:
    """One text's tokens as they are kept."""
    records = no_records(*tokens.vectors.shape)
    kept = TokenCodes.of(records)
    kept.codes[:], kept.scales[:] = quantize(tokens.vectors)
    kept.ids[:], kept.starts[:] = tokens.ids, tokens.starts
    return records


def quantize(vectors: Matrix) -> tuple[Codes, Matrix]:
    """Rows as int8 with one scale each: vectors ≈ codes × scales."""
    scales = np.abs(vectors).max(axis=1, initial=0.0) / 127
    safe = np.where(scales > 0, scales, 1.0)[:, None]
    return np.rint(vectors / safe).astype(np.int8), scales.astype(np.float32)


def dequantize(codes: Codes, scales: Matrix) -> Matrix:
    """The rows again, float32."""
    rows: Matrix = codes.astype(np.float32) * scales[:, None]
    return rows


@dataclass(frozen=True, slots=True)
class Segment:
    """Some tokens' records; where these are a file, it is mapped and the checksum is known."""

    records: Records
    checksum: str
    path: Path | None = None

    @classmethod
    def open(cls, path: Path, dim: int, checksum: str) -> Segment:
        """A file's; only what is looked at comes into memory."""
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return cls(np.frombuffer(mapped, np.uint8).reshape(-1, dim + 12), checksum, path)

    def save(self, path: Path) -> None:
        """A second name for the file where there can be one, else a copy."""
        if self.path is not None:
            try:
                os.link(self.path, path)
                return
            except OSError:
                path.unlink(missing_ok=True)  # another file system, no such names, or gone
        with path.open("wb") as file:
            file.write(self.records.data)

    def saved_at(self, path: Path) -> Segment:
        """The same where `save` has put it."""
        return Segment.open(path, self.records.shape[1] - 12, self.checksum)

    def is_shared(self, needed: int) -> bool:
        """Whether a snapshot that needs so many of its records takes it over as it is."""
        size = len(self.records)
        return self.records.nbytes >= SHARED_BYTES and needed >= LEAST_NEEDED * size


class SegmentWriter:
    """Gathers the records of a new segment: in a file of `folder`, or without one in memory."""

    def __init__(self, dim: int, folder: Path | None) -> None:
        self.size = 0
        self._dim = dim
        self._folder = folder
        self._digest = hashlib.sha256()
        self._waiting = bytearray()
        self._path: Path | None = None

    def append(self, records: Records) -> int:
        """The row of the first of them."""
        first = self.size
        self.size += len(records)
        self._waiting += records.data
        if self._folder is not None and len(self._waiting) >= _BUFFER_BYTES:
            self._flush(self._folder)
        return first

    def segments(self) -> Sequence[Segment]:
        """The one segment, or none where there are no records."""
        if not self.size:
            return []
        if self._folder is not None:
            return [Segment.open(self._flush(self._folder), self._dim, self._digest.hexdigest())]
        self._digest.update(self._waiting)
        records = np.frombuffer(self._waiting, np.uint8).reshape(self.size, self._dim + 12)
        return [Segment(records, self._digest.hexdigest())]

    def _flush(self, folder: Path) -> Path:
        try:
            if self._path is None:
                folder.mkdir(parents=True, exist_ok=True)
                # A name of its own: the file of a killed run may be part of a snapshot by now.
                descriptor, name = tempfile.mkstemp(".bin", "tokens-", folder)
                os.close(descriptor)
                self._path = Path(name)
            with self._path.open("ab") as file:
                file.write(self._waiting)
        except OSError as error:
            raise IndexWriteError(
                f"the token vectors could not be written to {folder} ({error}); free some space "
                "or name another folder with --index DIR. The old index still stands"
            ) from error
        self._digest.update(self._waiting)
        self._waiting.clear()
        return self._path
