from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from benchmarks import plain_model
from benchmarks.plain_model import open_plain_model
from rag.bundled_weights import name_tensors
from tests.tiny_weights import tiny_weights


def test_the_peers_get_the_weights_as_they_were_published_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_model, "find_weight_file", lambda: tmp_path)
    monkeypatch.setattr(plain_model, "read_bundled_weights", lambda path: tiny_weights())
    folder = open_plain_model(tmp_path / "plain")
    written = load_file(folder / "model.safetensors")
    for name, values in name_tensors(tiny_weights()).items():
        np.testing.assert_array_equal(written[name], values)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert open_plain_model(folder) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
