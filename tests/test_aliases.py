from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.aliases import Aliases, load_aliases
from rag.errors import ConfigError
from rag.loading import make_document
from rag.text import normalize_for_search

SSM = ("Systems Manager", "SSM", "システムズマネージャー")


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("SSMとは", ["Systems Manager", "システムズマネージャー"]),
        ("ｓｓｍとは", ["Systems Manager", "システムズマネージャー"]),
        ("システムズマネージャーの料金", ["Systems Manager", "SSM"]),
        ("SSM（Systems Manager）とは", ["システムズマネージャー"]),
        ("SSMは、ＳＳＭ。", ["Systems Manager", "システムズマネージャー"]),
        ("関係のない質問", []),
        ("", []),
    ],
)
def test_other_names_of_what_is_named_are_given(question: str, expected: list[str]) -> None:
    assert Aliases.of([SSM]).expansions(question) == expected


@pytest.mark.parametrize(
    ("question", "found"),
    [("EBとは", True), ("EBSとは", False), ("WEBとは", False), ("AWS EB", True), ("EB2", False)],
)
def test_a_latin_name_counts_only_as_a_whole_word(question: str, found: bool) -> None:
    aliases = Aliases.of([("Elastic Beanstalk", "EB")])
    assert aliases.expansions(question) == (["Elastic Beanstalk"] if found else [])


def test_a_latin_name_is_found_behind_one_where_it_is_part_of_a_word() -> None:
    assert Aliases.of([("S3", "Simple Storage Service")]).expansions("VPS3とS3") == [
        "Simple Storage Service"
    ]


def test_a_name_in_two_groups_gives_the_others_of_both_once() -> None:
    aliases = Aliases.of([("ASG", "Auto Scaling"), ("スケーリング", "ASG", "Auto Scaling")])
    assert aliases.expansions("ASG") == ["Auto Scaling", "スケーリング"]


@pytest.mark.parametrize("name", ["", " ", "\u3000"])
def test_an_empty_name_is_no_name(name: str) -> None:
    assert Aliases.of([("VPC", name)]).expansions("a b　c") == []


def test_names_come_from_the_packaged_list_the_folder_and_the_notes(tmp_path: Path) -> None:
    (tmp_path / "aliases.toml").write_text('"光合成" = ["炭酸同化"]\n', encoding="utf-8")
    note = make_document("k.md", "---\ntitle: 鍵の管理\naliases: [KMS2]\n---\n本文")
    aliases = load_aliases([note], tmp_path)
    assert aliases.expansions("炭酸同化とは") == ["光合成"]
    assert aliases.expansions("KMS2とは") == ["鍵の管理"]
    assert "Systems Manager" in aliases.expansions("SSMとは")


def test_without_a_corpus_folder_only_its_own_list_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "aliases.toml").write_text('"光合成" = ["炭酸同化"]\n', encoding="utf-8")
    assert load_aliases([], None).expansions("炭酸同化") == []
    assert load_aliases([], None).expansions("SSM")


@pytest.mark.parametrize(
    "content",
    [
        b'"VPC" = "one name"\n',
        '"VPC" = ["仮想"]\n'.encode("utf-8-sig"),
        b'"VPC" = []\n',
        b"",
    ],
    ids=["a single name", "byte order mark", "no other name", "empty"],
)
def test_lists_that_can_be_read_are(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "aliases.toml").write_bytes(content)
    load_aliases([], tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"VPC: [a]\n", "a line is like"),
        (b"VPC = [1, 2]\n", r"VPC = \[1, 2\] must be a list of names"),
        (b"[VPC]\na = 'b'\n", "must be a list of names"),
        ('"VPC" = ["仮想"]'.encode("cp932"), "save it as UTF-8"),
    ],
    ids=["yaml", "numbers", "a table", "Shift_JIS"],
)
def test_a_list_of_another_form_is_told_with_its_file(
    content: bytes, told: str, tmp_path: Path
) -> None:
    (tmp_path / "aliases.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"aliases\.toml: .*{told}"):
        load_aliases([], tmp_path)


PIECES = ["SSM", "EB", "S", "ラムダ", "Lambda", "ｌａｍｂｄａ", "1", " ", "の", "-", "\ud800", "👍"]
GROUPS = [("SSM", "Systems Manager"), ("EB", "Elastic Beanstalk"), ("ラムダ", "Lambda")]


@given(st.lists(st.sampled_from(PIECES) | st.text(st.characters()), max_size=8).map("".join))
def test_names_are_found_as_a_regular_expression_finds_them(question: str) -> None:
    folded = normalize_for_search(question)
    expected = []
    for short, long in GROUPS:
        patterns = [
            rf"(?<![a-z0-9]){re.escape(name.lower())}(?![a-z0-9])" for name in (short, long)
        ]
        if not short.isascii():
            patterns[0] = short
        stands = [re.search(pattern, folded) is not None for pattern in patterns]
        if stands == [True, False]:
            expected.append(long)
        if stands == [False, True]:
            expected.append(short)
    assert Aliases.of(GROUPS).expansions(question) == expected
