from __future__ import annotations

import os
from pathlib import Path

import pytest

from rag.errors import EmptyCorpusError, NoteError
from rag.loading import decode_note, front_matter_end, load_corpus, make_document

LIMIT = 1_000_000
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


def test_what_cannot_be_read_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    corpus = tmp_path / "notes"
    corpus.mkdir()
    (corpus / "good.md").write_text("# 良いノート\n本文。", encoding="utf-8")
    (corpus / "empty.md").write_text(" \n", encoding="utf-8")
    (corpus / "large.txt").write_text("あ" * LIMIT, encoding="utf-8")
    (corpus / "binary.md").write_bytes(bytes(range(256)) * 8)
    (corpus / "dangling.md").symlink_to(corpus / "nowhere")
    os.mkfifo(corpus / "pipe.md")
    (corpus / "folder.md").mkdir()
    found = load_corpus(corpus, LIMIT)
    assert [document.doc_id for document in found.documents] == ["good.md"]
    problems = {problem.path for problem in found.problems}
    assert problems == {"empty.md", "large.txt", "binary.md", "dangling.md", "pipe.md"}


def test_links_that_lead_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    corpus = tmp_path / "notes"
    corpus.mkdir()
    (tmp_path / "secret.md").write_text("外のノート", encoding="utf-8")
    (corpus / "in.md").write_text("中のノート", encoding="utf-8")
    (corpus / "out.md").symlink_to(tmp_path / "secret.md")
    (corpus / "again.md").symlink_to(corpus / "in.md")
    (corpus / "loop").symlink_to(corpus)
    found = load_corpus(corpus, LIMIT)
    assert [document.doc_id for document in found.documents] == ["again.md", "in.md"]


def test_two_files_with_one_id_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "a b.md").write_text("一つ目", encoding="utf-8")
    (tmp_path / "a_b.md").write_text("二つ目", encoding="utf-8")
    found = load_corpus(tmp_path, LIMIT)
    assert len(found.documents) == 1
    assert "a_b.md" in str(found.problems[0])


def test_no_folder_and_no_note_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EmptyCorpusError, match="--corpus"):
        load_corpus(tmp_path / "absent", LIMIT)
    with pytest.raises(EmptyCorpusError, match=r"\.md"):
        load_corpus(tmp_path, LIMIT)


def test_front_matter_gives_title_tags_and_aliases() -> None:
    text = "---\ntitle: 題名\ntags: [一, 二]\naliases: 別名、略称\n---\n本文。"
    document = make_document("a.md", text)
    assert (document.title, document.tags, document.aliases) == (
        "題名",
        ("一", "二"),
        ("別名", "略称"),
    )
    assert document.text == text
    assert text[front_matter_end(text) :] == "本文。"


@pytest.mark.parametrize(
    "text", ["---\n: [\n---\n本文", "---\n- 一覧\n---\n本文", "---\n本文だけ", "本文\n---\n続き"]
)
def test_what_only_looks_like_front_matter_stays_text(text: str) -> None:
    assert front_matter_end(text) == 0


@pytest.mark.parametrize(
    ("doc_id", "text", "title"),
    [
        ("a.md", "# 一つの見出し\n本文", "一つの見出し"),
        ("a.md", "# 一\n本文\n# 二\n本文", "a"),
        ("folder/name.txt", "本文だけ", "name"),
        ("a.html", "<html><title>頁の題</title><p>本文", "頁の題"),
    ],
)
def test_a_title_comes_from_the_note_else_from_the_file_name(
    doc_id: str, text: str, title: str
) -> None:
    assert make_document(doc_id, text).title == title
