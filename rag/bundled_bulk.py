"""Which engine embeds how many passages: those of a changed note, of a whole folder of notes.

A small load gets a session whose threads share each batch. A large one gets a session that runs
whole batches side by side, one on each processor; a larger one, on matrix hardware, torch in a
child process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from rag.bundled_forward import (
    Forward,
    Ids,
    States,
    count_processors,
    has_matrix_hardware,
    open_onnx,
    open_torch_process,
)
from rag.protocols import Matrix

Item = TypeVar("Item")
Result = TypeVar("Result")

SIDE_BY_SIDE_TOKENS = 8_000
"""From here on opening a second session (0.2 s) pays."""
TORCH_TOKENS = 60_000
"""From here on starting torch (5 s) pays on matrix hardware."""
MIN_TORCH_COSINE = 0.999
"""Torch is used only where its vectors stay this close to ONNX Runtime's."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A forward pass, and how many batches it may be given at a time."""

    forward: Forward
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Openers:
    """How the engines are opened."""

    shared: Callable[[], Engine]
    side_by_side: Callable[[], Engine]
    torch: Callable[[], AbstractContextManager[Forward]]

    @classmethod
    def of(cls, folder: Path, onnx_file: Path) -> Openers:
        """Over the files of a prepared model."""
        return cls(
            lambda: Engine(open_onnx(onnx_file)),
            lambda: Engine(open_onnx(onnx_file, threads=1), count_processors()),
            lambda: open_torch_process(folder),
        )


class Engines:
    """The engines of one run of indexing: opened when first needed, closed together."""

    def __init__(self, openers: Openers) -> None:
        self._openers = openers
        self._opened = ExitStack()
        self._onnx: Engine | None = None
        self._is_onnx_side_by_side = False
        self._torch: Engine | None = None
        self._tokens = 0
        self._torch_refused = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def choose(self, tokens: int, sample: tuple[Ids, Ids]) -> Engine:
        """For `tokens` more; torch only if it agrees on `sample`, a batch's ids and mask."""
        self._tokens += tokens
        if self._torch is None and self._tokens >= TORCH_TOKENS and not self._torch_refused:
            self._torch = self._open_torch(*sample)
            self._torch_refused = self._torch is None
        return self._torch or self._choose_onnx()

    def _choose_onnx(self) -> Engine:
        """The session for as many tokens as have come; only one is kept."""
        side_by_side = self._tokens >= SIDE_BY_SIDE_TOKENS
        if self._onnx is None or side_by_side is not self._is_onnx_side_by_side:
            self._onnx = self._openers.side_by_side() if side_by_side else self._openers.shared()
            self._is_onnx_side_by_side = side_by_side
        return self._onnx

    def _open_torch(self, ids: Ids, mask: Ids) -> Engine | None:
        """Torch where it is faster, works and gives this batch the vectors it should have."""
        if not has_matrix_hardware():
            return None
        torch = self._opened.enter_context(self._openers.torch())
        reference = self._choose_onnx().forward
        if not agrees(torch, reference, ids, mask):
            return None
        return Engine(with_fallback(torch, reference))


def agrees(forward: Forward, reference: Forward, ids: Ids, mask: Ids) -> bool:
    """Whether `forward` works and gives these texts the vectors they should have."""
    try:
        states, _ = forward(ids, mask)
    except (OSError, EOFError, ValueError):
        return False
    masked = np.stack([states, reference(ids, mask)[0]]) * mask[..., None]
    sums: Matrix = masked.sum(axis=2, dtype=np.float32)
    lengths = np.maximum(np.linalg.norm(sums, axis=2), np.finfo(np.float32).tiny)
    cosines = (sums[0] * sums[1]).sum(axis=1) / (lengths[0] * lengths[1])
    return bool(cosines.min() >= MIN_TORCH_COSINE)


def with_fallback(forward: Forward, reference: Forward) -> Forward:
    """`forward`, and `reference` for every batch at which it fails."""

    def guarded(ids: Ids, mask: Ids) -> tuple[States, States]:
        try:
            return forward(ids, mask)
        except (OSError, EOFError, ValueError):
            return reference(ids, mask)

    return guarded


def map_side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """`work` of each item in order; results wait for their reader only two to a worker."""
    if workers == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, "embedding") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
