"""Bytes of a note → its text, in every encoding that Japanese software has used."""

from __future__ import annotations

import logging
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import NoteError
from rag.loading import decode_note

TEXTS = ["■見出し\n・シフトJISのノートです。①\n", "これはテストです。", "AWSのLambda 関数とは何か"]


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "cp932", "euc_jp", "iso2022_jp"],
)
@pytest.mark.parametrize("text", TEXTS)
def test_short_japanese_text_is_decoded_from_every_usual_encoding(text: str, encoding: str) -> None:
    if encoding in ("euc_jp", "iso2022_jp"):
        text = text.replace("①", "1")
    assert decode_note(text.encode(encoding), "a.txt") == text


def test_half_width_kana_and_vendor_characters_of_cp932_are_kept() -> None:
    text = "ｶﾞｲﾄﾞ：㈱の設立は①定款②登記の順です。" * 3
    assert decode_note(text.encode("cp932"), "a.txt") == text


def test_random_bytes_are_no_note() -> None:
    raw = bytes((7 * n * n + 13 * n) % 256 for n in range(3000))
    with pytest.raises(NoteError, match=r"^a\.md: not text"):
        decode_note(raw, "a.md")


def test_a_few_broken_bytes_do_not_lose_the_note() -> None:
    raw = "正しい文字です。".encode() * 100 + b"\xff" + "続き。".encode() * 100
    text = decode_note(raw, "a.txt")
    assert text.startswith("正しい文字です。")
    assert text.endswith("続き。")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("①㈱の設立は、Ⅲ章にある。".encode("cp932"), "①㈱の設立は、Ⅲ章にある。"),
        (b"\xad\xa1\xad\xea\xa4\xce\xc0\xdf\xce\xa9", "①㈱の設立"),  # EUC-JP of Windows
        (b"\x1b$B-!-j$N@_N)\x1b(B\n", "①㈱の設立\n"),  # ISO-2022-JP of Windows
        (b"\x1b(I6^2D^\x1b(B: \x1b$BCf\x1b(B", "ｶﾞｲﾄﾞ: 中"),
        ("ｶﾞｲﾄﾞの続き".encode("euc_jp"), "ｶﾞｲﾄﾞの続き"),
        ("ｱｲｳｴｵ".encode("cp932"), "ｱｲｳｴｵ"),
        ("plain ASCII\n".encode("utf_16_le"), "plain ASCII\n"),
        ("見出し\r\n本文\r\n".encode("utf_16_be"), "見出し\r\n本文\r\n"),
        ("漢字と\U00020b9f".encode("utf_16"), "漢字と\U00020b9f"),
        ("全角～と".encode("cp932"), "全角～と"),
        ("語".encode("utf_32"), "語"),
        (b"\xef\xbb\xbf\xe8\xaa\x9e", "語"),
    ],
)
def test_what_japanese_software_writes_is_read(raw: bytes, text: str) -> None:
    assert decode_note(raw, "a.txt") == text


@given(st.text(alphabet="あいうえおかきくけこアイウエオ日本語学習漢字の、。\n ", max_size=60))
def test_kana_and_common_kanji_survive_every_encoding(text: str) -> None:
    text = "これは、" + text
    for encoding in ("utf-8", "cp932", "euc_jp", "iso2022_jp", "utf_16"):
        assert decode_note(text.encode(encoding), "a.txt") == text


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with suppress(NoteError):
        assert "\0" not in decode_note(raw, "a.md")


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc_jp"])
def test_a_broken_byte_is_read_over_and_reported(
    encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    before, after = "前の文です。" * 60, "後の文です。" * 60
    raw = before.encode(encoding) + b"\xff\n" + after.encode(encoding)
    with caplog.at_level(logging.WARNING):
        text = decode_note(raw, "a.txt")
    assert text.startswith(before)
    assert text.endswith(after)
    assert "a.txt" in caplog.text


@pytest.mark.parametrize(
    "raw",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"PK\x03\x04" + bytes(range(128, 256)) * 20,
        b"abc\0def",
        b"\xff\xfe" + bytes(range(256)) * 4,
        bytes(range(1, 32)) * 30,
    ],
    ids=["png", "zip", "nul", "noise behind a mark", "control characters"],
)
def test_a_binary_file_is_refused(raw: bytes) -> None:
    with pytest.raises(NoteError, match=r"^a\.md: not text in a known encoding"):
        decode_note(raw, "a.md")
