import numpy as np
import pytest

from rag import bundled_adapter
from rag.bundled_adapter import PARTS, adapted, merged, read_adapter
from rag.errors import ModelError
from tests.tiny_weights import HIDDEN, tiny_weights


def test_the_product_of_the_halves_is_added_to_the_matrix_and_nothing_else_changes() -> None:
    weights = tiny_weights()
    random = np.random.default_rng(3)
    down = random.normal(0, 1, (2, HIDDEN)).astype(np.float16)
    up = random.normal(0, 1, (4 * HIDDEN, 2)).astype(np.float16)
    changed = merged(weights, {"l1.fi.w.down": down, "l1.fi.w.up": up})
    wanted = weights.floats("l1.fi.w", 4 * HIDDEN, HIDDEN) + up.astype(np.float32) @ down
    np.testing.assert_allclose(changed.floats("l1.fi.w", 4 * HIDDEN, HIDDEN), wanted, atol=1e-5)
    others = weights.tensors.keys() - {"l1.fi.w"}
    assert all(changed.tensors[name] is weights.tensors[name] for name in others)


def test_the_adapter_that_ships_is_the_one_expected_and_adapts_every_matrix() -> None:
    names = {name.rpartition(".")[0] for name in read_adapter()}
    assert names == {f"l{layer}.{part}.w" for layer in range(12) for part in PARTS}


def test_a_damaged_adapter_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled_adapter, "ADAPTER_SHA256", "0" * 64)
    with pytest.raises(ModelError, match=r"adapter\.npz .* install Kotae again"):
        adapted(tiny_weights())
