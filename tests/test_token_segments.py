from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from rag import token_segments
from rag.errors import IndexWriteError
from rag.token_segments import (
    Records,
    Segment,
    SegmentWriter,
    TokenCodes,
    dequantize,
    no_records,
    pack,
)
from tests.test_late_interaction import DIM, make_tokens


def write(folder: Path | None, parts: list[Records]) -> Segment:
    writer = SegmentWriter(DIM, folder)
    firsts = [writer.append(part) for part in parts]
    assert firsts == [sum(map(len, parts[:at])) for at in range(len(parts))]
    (segment,) = writer.segments()
    return segment


@pytest.fixture
def parts() -> list[Records]:
    return [pack(make_tokens(range(length), seed)) for seed, length in enumerate([3, 0, 5])]


def test_a_record_holds_all_that_is_known_of_a_token() -> None:
    tokens = make_tokens([5, 250_000, 7])
    kept = TokenCodes.of(pack(tokens))
    np.testing.assert_array_equal(kept.ids, tokens.ids)
    np.testing.assert_array_equal(kept.starts, tokens.starts)
    np.testing.assert_allclose(dequantize(kept.codes, kept.scales), tokens.vectors, atol=0.5 / 127)
    assert pack(make_tokens([])).shape == no_records(0, DIM).shape


@pytest.mark.parametrize("buffer_bytes", [1, 100, 1 << 20])
def test_a_segment_is_the_same_in_memory_and_in_a_file(
    buffer_bytes: int, parts: list[Records], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_segments, "_BUFFER_BYTES", buffer_bytes)
    in_memory, in_file = write(None, parts), write(tmp_path / "new", parts)
    np.testing.assert_array_equal(in_memory.records, np.concatenate(parts))
    np.testing.assert_array_equal(in_file.records, in_memory.records)
    assert in_file.path is not None
    content = in_file.path.read_bytes()
    assert in_file.checksum == in_memory.checksum == hashlib.sha256(content).hexdigest()


def test_without_records_there_is_no_segment_and_no_file(tmp_path: Path) -> None:
    writer = SegmentWriter(DIM, tmp_path)
    writer.append(no_records(0, DIM))
    assert not writer.segments()
    assert not list(tmp_path.iterdir())


def test_what_another_writer_left_is_never_written_into(
    parts: list[Records], tmp_path: Path
) -> None:
    left = write(tmp_path, parts)
    write(tmp_path, parts[:1])
    assert left.path is not None
    assert hashlib.sha256(left.path.read_bytes()).hexdigest() == left.checksum


def refuse(*_: object) -> NoReturn:
    raise OSError(errno.EPERM, "no hard links here")


def test_a_file_gets_a_second_name_or_where_that_cannot_be_a_copy(
    parts: list[Records], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = write(tmp_path / "new", parts)
    assert segment.path is not None
    segment.save(tmp_path / "linked")
    assert (tmp_path / "linked").samefile(segment.path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse)
        segment.save(tmp_path / "copied")
    segment.path.unlink()
    segment.save(tmp_path / "from memory")
    for name in ("copied", "from memory"):
        saved = segment.saved_at(tmp_path / name)
        assert not (tmp_path / name).samefile(tmp_path / "linked")
        np.testing.assert_array_equal(saved.records, segment.records)


def test_a_segment_is_shared_that_is_large_and_mostly_needed(
    parts: list[Records], monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = write(None, parts)  # of 8 records
    assert not segment.is_shared(8)
    monkeypatch.setattr(token_segments, "SHARED_BYTES", segment.records.nbytes)
    assert [segment.is_shared(needed) for needed in (8, 4, 3, 0)] == [True, True, False, False]


def test_a_full_disk_is_told_with_the_folder(parts: list[Records], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    with pytest.raises(IndexWriteError, match=r"file.*--index DIR.*old index still stands"):
        write(tmp_path / "file", parts)
