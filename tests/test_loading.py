from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import EmptyCorpusError, NoteError
from rag.loading import (
    front_matter_end,
    load_corpus,
    load_document,
    make_document,
    read_front_matter,
)

LIMIT = 1_000_000


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
    assert [problem.path for problem in found.problems] == ["out.md"]


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


@pytest.mark.parametrize("raw", [b"", b"\n \t\n", b"\xef\xbb\xbf", "\u3000\n".encode()])
def test_a_file_without_text_is_called_empty(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(raw)
    with pytest.raises(NoteError, match=r"^a\.md: the file is empty"):
        load_document(tmp_path / "a.md", "a.md", LIMIT)


def test_a_loop_of_links_and_one_to_itself_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.md").symlink_to(tmp_path / "b.md")
    (tmp_path / "b.md").symlink_to(tmp_path / "a.md")
    (tmp_path / "self.md").symlink_to(tmp_path / "self.md")
    (tmp_path / "good.md").write_text("本文", encoding="utf-8")
    found = load_corpus(tmp_path, LIMIT)
    assert [document.doc_id for document in found.documents] == ["good.md"]
    assert {problem.path for problem in found.problems} == {"a.md", "b.md", "self.md"}


def test_a_corpus_that_is_itself_a_link_is_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.md").write_text("本文", encoding="utf-8")
    (tmp_path / "real" / "b.md").symlink_to("a.md")
    (tmp_path / "corpus").symlink_to(tmp_path / "real")
    found = load_corpus(tmp_path / "corpus", LIMIT)
    assert [document.doc_id for document in found.documents] == ["a.md", "b.md"]


def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "a.md").write_text("本文", encoding="utf-8")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = load_corpus(tmp_path, LIMIT)
    assert [str(problem) for problem in found.problems] == [
        "locked: folder cannot be read (Permission denied)"
    ]


def test_a_file_that_may_not_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.md").write_text("本文", encoding="utf-8")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(EmptyCorpusError, match=r"a\.md: cannot be read \(Permission denied\)"):
        load_corpus(tmp_path, LIMIT)


def test_an_id_is_the_path_with_white_space_replaced(tmp_path: Path) -> None:
    names = [
        "深い 階層/メモ　その1.md",
        "😀.txt",
        "a\nb.html",
        ".hidden.md",
        "note.pdf",
        "UPPER.MD",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("本文", encoding="utf-8")
    found = load_corpus(tmp_path, LIMIT)
    ids = {document.doc_id for document in found.documents}
    assert ids == {"深い_階層/メモ_その1.md", "😀.txt", "a_b.html", "UPPER.MD"}


def test_a_name_that_is_not_utf8_gives_an_id_that_is(tmp_path: Path) -> None:
    for raw in ("日本語.md".encode("cp932"), b"\xff\xfe.md"):
        (tmp_path / os.fsdecode(raw)).write_text("本文", encoding="utf-8")
    documents = load_corpus(tmp_path, LIMIT).documents
    assert {document.doc_id for document in documents} == {"日本語.md", "\ufffd\ufffd.md"}
    assert all(document.source_path.encode("utf-8") for document in documents)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("title: 編み物: 目の数えかた\ntags: [手芸]", ("編み物: 目の数えかた", ("手芸",))),
        ("title: 'A: B\ntags: [a", ("A: B", ("a",))),
        ("title: 2024-02-30\ntags: [1, 2]", ("2024-02-30", ("1", "2"))),
        ("created: 2024-02-11\ntags: 資格 IPA", ("a", ("資格", "IPA"))),
        ("title: [配列]\ntags: {x: 1}", ("a", ())),
        ("title:\ntags:", ("a", ())),
        ("topics: ['#統計', '#統計']", ("a", ("統計",))),
        ("title: 題\ntags:\n  - 甲\n  - 乙", ("題", ("甲", "乙"))),
        ("# 注だけ", ("a", ())),
    ],
)
def test_front_matter_as_people_write_it(
    fields: str, expected: tuple[str, tuple[str, ...]]
) -> None:
    text = f"---\n{fields}\n---\n本文。"
    document = make_document("a.md", text)
    assert (document.title, document.tags) == expected
    assert text[front_matter_end(text) :] == "本文。"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_front_matter_ends_at_every_kind_of_line_break(newline: str) -> None:
    text = newline.join(["---", "title: 題", "---", "本文"])
    assert text[front_matter_end(text) :] == "本文"


@pytest.mark.parametrize(
    "text",
    [
        "---\n注意: 火を使う。\n---\n本文",
        "---\n今日の話をする。\n---\n本文",
        "---\ntitle: 閉じない\n\n本文",
        " ---\ntitle: 字下げ\n---\n本文",
        "----\ntitle: 長い線\n----\n本文",
    ],
)
def test_text_between_two_rules_stays_text(text: str) -> None:
    assert front_matter_end(text) == 0
    assert read_front_matter(text) == {}


def test_empty_front_matter_is_skipped() -> None:
    text = "---\n---\n本文"
    assert text[front_matter_end(text) :] == "本文"


def test_yaml_that_would_grow_without_end_is_harmless() -> None:
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
    text = f"---\na0: &a0 x\n{levels}\ntitle: *a11\n---\n本文"
    assert make_document("b.md", text).title == "b"


@pytest.mark.parametrize(
    ("doc_id", "text", "title"),
    [
        ("a.md", "# 題\n```sh\n# 注\n```\n本文", "題"),
        ("a.md", "```sh\n# 注だけ\n```\n本文", "a"),
        ("a.md", "---\n# 注\ntags: x\n---\n# 題 #\n本文", "題"),
        ("a.htm", "<h1>A &amp; <b>B</b></h1>", "A & B"),
        ("a.html", "<title>\n長い\n題\n</title><h1>別</h1>", "長い 題"),
        ("dir.x/a.b.md", "本文", "a.b"),
    ],
)
def test_a_title_is_no_comment_and_no_markup(doc_id: str, text: str, title: str) -> None:
    assert make_document(doc_id, text).title == title


@given(st.text(alphabet=st.characters(categories=None), max_size=80))
def test_any_text_makes_a_document(text: str) -> None:
    for name in ("a.md", "a.html"):
        document = make_document(name, "---\n" + text)
        assert document.text == "---\n" + text
        assert document.title


@pytest.mark.parametrize(
    ("field", "title"),
    [
        ("title: 12:30の予定", "12:30の予定"),
        ("title: 010", "010"),
        ("title: 12:30", "12:30"),
        ("title: yes", "yes"),
        ("title: !!int ''", "a"),
        ("title: !!bool はい", "はい"),
        ("title: !!timestamp いつか", "いつか"),
        ("title: 0x" + "f" * 5000, "0x" + "f" * 118),
        ("title: " + "[" * 15_000, "a"),
    ],
    ids=lambda value: value[:20],
)
def test_a_title_is_the_text_that_its_author_wrote(field: str, title: str) -> None:
    """YAML would make numbers, truth values and errors of them."""
    assert make_document("a.md", f"---\n{field}\n---\n\n本文。\n").title == title
