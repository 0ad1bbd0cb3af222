"""Token ids → hidden states of the bundled model, by ONNX Runtime here or torch in a child.

ONNX Runtime opens in a fraction of a second. Torch takes seconds to import and hundreds of
megabytes that it never gives back, but is several times faster on matrix hardware: so it works in
a process of its own, `python -m rag.bundled_forward FOLDER`, which ends with the batch.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from rag.token_projection import read_token_projection

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Ids = npt.NDArray[np.int64]
States = npt.NDArray[np.float32]
Forward = Callable[[Ids, Ids], tuple[States, States]]
"""Ids and mask, shape (batch, tokens) → last hidden states, token vectors: (batch, tokens, …)."""

CHILD_DEFAULTS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Waiting threads sleep: on a busy machine spinning ones made torch three times slower."""

SHAPE = struct.Struct("<3q")
"""What goes before an array through a pipe: its shape, the last axis 1 for ids."""


def open_onnx(path: Path, threads: int | None = None) -> Forward:
    """ONNX Runtime over a graph that rag.bundled_graph wrote.

    `threads` share the work of a batch; by default as many as there are processors.
    """
    threads = threads or count_processors()
    pair = processor_pair() if threads == 2 else None
    session = _open_session(path, threads, pair)

    def forward(ids: Ids, mask: Ids) -> tuple[States, States]:
        states, tokens = session.run(None, {"input_ids": ids, "attention_mask": mask})
        return states, tokens

    return on_processor(pair[0], forward) if pair else forward


def open_onnx_for_questions(path: Path) -> Forward:
    """As `open_onnx`, for calls from several threads: questions that come together share out the
    processors instead of waiting for each other.
    """
    open_single = cache(lambda: open_onnx(path, threads=1))  # most processes never need it
    return share_out(open_onnx(path), open_single, count_processors())


def share_out(whole: Forward, open_single: Callable[[], Forward], processors: int) -> Forward:
    """`whole` for a call that is alone, a single thread for each other, `processors` at a time.

    All threads on one question make that one quick; one thread a question wastes least on waiting.
    """
    under_way, turns = Calls(), BoundedSemaphore(processors)

    def forward(ids: Ids, mask: Ids) -> tuple[States, States]:
        with under_way as is_alone:
            if is_alone:
                return whole(ids, mask)
            with turns:
                return open_single()(ids, mask)

    return forward


class Calls:
    """Counts the calls that are under way; entering tells whether there is no other."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0

    def __enter__(self) -> bool:
        with self._lock:
            self._count += 1
            return self._count == 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._count -= 1


def watch_onnx(model: bytes) -> Callable[[Ids, Ids], dict[str, npt.NDArray[np.float32]]]:
    """As `open_onnx`, for a graph in memory; gives all of its outputs by name."""
    session = _open_session(model, count_processors(), None)
    names = [output.name for output in session.get_outputs()]

    def forward(ids: Ids, mask: Ids) -> dict[str, npt.NDArray[np.float32]]:
        outputs = session.run(None, {"input_ids": ids, "attention_mask": mask})
        return dict(zip(names, outputs, strict=True))

    return forward


def _open_session(
    model: Path | bytes, threads: int, pair: tuple[int, int] | None
) -> InferenceSession:
    """A session of that many threads; of a `pair` of processors the second gets its thread."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # The graph is made of fused operators already: optimising it again only costs start-up time.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if pair:
        # On a processor of its own a thread may spin while it waits for the next operator, for it
        # keeps nobody from work; ONNX Runtime counts processors from 1.
        options.add_session_config_entry("session.intra_op_thread_affinities", str(pair[1] + 1))
        options.add_session_config_entry("session.force_spinning_stop", "1")
    else:
        # Idle threads that spin would take the processor from the rest of the server, and on a
        # busy machine from the thread that they wait for.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def processor_pair() -> tuple[int, int] | None:
    """The processors of a machine that has two, where a thread can be bound to one."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    found = sorted(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, found)
    except OSError:  # forbidden, as in some containers
        return None
    return (found[0], found[1]) if len(found) == 2 else None


def on_processor(processor: int, forward: Forward) -> Forward:
    """`forward` with its calling thread on that processor, one call at a time.

    On two processors Linux often wakes ONNX Runtime's second thread on the one that is busy with
    the first, and a question takes as long as on a single processor.
    """
    turn = Lock()

    def bound(ids: Ids, mask: Ids) -> tuple[States, States]:
        with turn:
            before = os.sched_getaffinity(0)
            with suppress(OSError):  # the processors of a container may change
                os.sched_setaffinity(0, {processor})
            try:
                return forward(ids, mask)
            finally:
                with suppress(OSError):
                    os.sched_setaffinity(0, before)

    return bound


@contextmanager
def open_torch_process(folder: Path) -> Iterator[Forward]:
    """`open_torch` in a child process; `forward` raises OSError when the child has died."""
    root = str(Path(__file__).resolve().parent.parent)
    search_path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, "-m", "rag.bundled_forward", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**CHILD_DEFAULTS, **os.environ, "PYTHONPATH": search_path, "PYTHONSAFEPATH": "1"},
    ) as process:
        to_child, from_child = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)

        def forward(ids: Ids, mask: Ids) -> tuple[States, States]:
            _send(to_child, ids)
            _send(to_child, mask)
            floats = np.dtype(np.float32)
            return _receive(from_child, floats), _receive(from_child, floats)

        try:
            yield forward
        finally:
            process.kill()
            with suppress(OSError):  # what a dead child did not read cannot be flushed
                to_child.close()


def open_torch(folder: Path) -> Forward:
    """`transformers` over model.safetensors: on a GPU in float32, else in bfloat16."""
    import torch
    from transformers import BertModel

    device = _pick_device()
    dtype = torch.bfloat16 if device == "cpu" else torch.float32
    model: Any = BertModel.from_pretrained(folder, dtype=dtype)
    model = model.to(device).eval()
    projection = read_token_projection()

    def forward(ids: Ids, mask: Ids) -> tuple[States, States]:
        with torch.inference_mode():
            inputs = {"input_ids": ids, "attention_mask": mask}
            tensors = {name: torch.tensor(rows, device=device) for name, rows in inputs.items()}
            layers = model(**tensors, output_hidden_states=True).hidden_states
            last, *own = (layers[n].float().cpu().numpy() for n in (-1, *projection.layers))
        return last, projection.project(own)

    return forward


def _pick_device() -> str:
    """`cuda`, `mps` or `cpu`, the best that torch finds."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def count_processors() -> int:
    """Processors this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_matrix_hardware() -> bool:
    """Whether torch would be much faster here: Intel AMX, an Nvidia or an Apple GPU."""
    if sys.platform == "darwin":
        return os.uname().machine == "arm64"
    if Path("/proc/driver/nvidia/version").exists():
        return True
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return False


def _send(pipe: IO[bytes], array: npt.NDArray[Any]) -> None:
    shape = (*array.shape, 1)[:3]
    pipe.write(SHAPE.pack(*shape) + np.ascontiguousarray(array).tobytes())
    pipe.flush()


def _receive(pipe: IO[bytes], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The next array; raises EOFError at the end and OSError where the pipe broke."""
    header = pipe.read(SHAPE.size)
    if not header:
        raise EOFError
    shape = SHAPE.unpack(header)
    data = pipe.read(int(np.prod(shape)) * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(shape)


def main(folder: Path) -> None:
    """Answers ids and mask on standard input with states on standard output, until that ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not stand among the answers
    forward = open_torch(folder)
    ids_type = np.dtype(np.int64)
    while True:
        try:
            ids = _receive(sys.stdin.buffer, ids_type)[..., 0]
            mask = _receive(sys.stdin.buffer, ids_type)[..., 0]
        except EOFError:
            return
        for array in forward(ids, mask):
            _send(answers, array)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
