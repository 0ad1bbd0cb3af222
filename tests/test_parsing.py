"""Golden rows, one oddity of real notes each; then what holds for the sections of any note."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from rag.loading import front_matter_end, make_document
from rag.parsing import parse_document
from rag.types import Block, Document, Section
from tests.golden_rows import TESTS, GoldenRow, golden_rows
from tests.note_texts import NOTE, is_blank

NOTES = sorted((TESTS / "notes").glob("*.[mt]*"))


def section_at(document: Document, place: int) -> Section:
    sections = parse_document(document)
    return next(s for s in sections if s.start_index <= place < s.end_index)


def block_at(document: Document, place: int) -> Block:
    blocks = section_at(document, place).blocks
    return next(block for block in blocks if block.start_index <= place < block.end_index)


def owners_of(block: Block) -> list[str]:
    """What owns a block, without the block itself as the owner of its pieces."""
    return [owner.text for owner in block.owners if owner.start_index != block.start_index]


def blocks_of(text: str, name: str = "note.md") -> list[str]:
    document = make_document(name, text)
    return [
        text[block.start_index : block.end_index].strip()
        for section in parse_document(document)
        for block in section.blocks
    ]


def paths_of(text: str) -> list[str]:
    sections = parse_document(make_document("note.txt", text))
    return [" › ".join(section.headings) for section in sections]


@pytest.mark.parametrize("row", golden_rows("headings.tsv"), ids=lambda row: row.why)
def test_a_line_stands_under_its_headings(row: GoldenRow, update_golden: bool) -> None:
    section = section_at(row.document(), row.place())
    row.check(" › ".join(section.headings), update_golden)


@pytest.mark.parametrize("row", golden_rows("owners.tsv"), ids=lambda row: row.why)
def test_a_block_knows_what_owns_it(row: GoldenRow, update_golden: bool) -> None:
    block = block_at(row.document(), row.place())
    row.check(" ‹ ".join(owners_of(block)), update_golden)


@given(NOTE)
def test_sections_cover_the_body_in_order(text: str) -> None:
    sections = parse_document(make_document("note.md", text))
    covered = front_matter_end(text)
    for section in sections:
        assert is_blank(text[covered : section.start_index])
        assert section.start_index >= covered
        covered = section.end_index
    assert is_blank(text[covered:])


@given(NOTE)
def test_blocks_lie_in_their_section_one_behind_the_other(text: str) -> None:
    for section in parse_document(make_document("note.md", text)):
        end = section.start_index
        for block in section.blocks:
            assert end <= block.start_index < block.end_index <= section.end_index
            assert is_blank(text[end : block.start_index])
            end = block.end_index
            assert all(owner.start_index <= block.start_index for owner in block.owners)


@given(NOTE)
def test_a_heading_is_one_short_line(text: str) -> None:
    for section in parse_document(make_document("note.md", text)):
        assert len(section.headings) <= 8
        assert all(len(heading) <= 100 for heading in section.headings)
        assert all("\n" not in heading for heading in section.headings)


@pytest.mark.parametrize(
    "line",
    [
        "共振周波数 f = 1/T",
        "0 < e < 1 の衝突",
        "水 大さじ1 15g",
        "豆腐　水を替えて三日",
        "中温 170℃ … 泡がすぐ上がる",
        "閉じたら → 開く",
        "（電車で見る用）",
        "https://example.jp/a",
        "2024年5月の集まり",
        "で確認できる",
        "#料理 #和食",
        "--force を付ける",
        "[登山] [気象]",
        "※例外がある",
        "関連記事",
        "窓を開けてから火を点ける",
        "火は最後まで弱い",
    ],
)
def test_a_line_that_is_no_name_heads_nothing(line: str) -> None:
    assert paths_of(f"章の名\n\n本文がここにあります。\n\n{line}\n- 項目です。\n")[-1] == "章の名"


@pytest.mark.parametrize(
    "line",
    [
        "はじめに",
        "おわりに",
        "のれん",
        "とうふ",
        "道具をそろえる順番と置き場所を決める方法",
        "使い方",
        "電線の太さ（周囲三十度以下）",
        "Step Functions",
        ".ebextensions",
        "どの検定を使う？",
        "概要[編集]",
    ],
)
def test_a_short_name_above_a_list_heads_it(line: str) -> None:
    headings = paths_of(f"章の名\n\n本文がここにあります。\n\n{line}\n- 項目です。\n")[-1]
    assert headings.endswith(line.removesuffix("[編集]"))


def test_many_bare_lines_under_one_another_are_a_list() -> None:
    names = "\n\n".join(f"品目{n}番" for n in range(20))
    assert paths_of(f"買い物\n- 籠\n\n{names}\n") == ["買い物"]


def test_a_fence_that_is_never_closed_swallows_nothing() -> None:
    assert paths_of("# 甲\n```sh\necho 1\n\n# 乙\n本文。\n") == ["甲", "乙"]


def test_a_fence_in_a_bullet_hides_its_hashes() -> None:
    text = "## 手順\n- 実行\n    ```sh\n    # 注\n    ls\n    ```\n- 確認\n\n## 次\n済み。\n"
    assert paths_of(text) == ["手順", "次"]
    assert blocks_of(text)[2] == "```sh\n    # 注\n    ls\n    ```"


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("- EC2 - 仮想の計算機", ["- EC2 - 仮想の計算機"]),
        ("- 預かる。 - 渡す", ["- 預かる。", "- 渡す"]),
        ("- これは十分に長い説明で、句点を打たないまま行の最後まで続いている文 - 次の項目",
         ["- これは十分に長い説明で、句点を打たないまま行の最後まで続いている文", "- 次の項目"]),
        ("- `git log - x` と打つと長い記録がいくつも並んで表示される - 終わる",
         ["- `git log - x` と打つと長い記録がいくつも並んで表示される", "- 終わる"]),
        ("登録する。 -\n消す。", ["登録する。", "-\n消す。"]),
        ("| 甲。 - 乙 | 丙 |", ["| 甲。 - 乙 | 丙 |"]),
    ],
)  # fmt: skip
def test_bullets_glued_to_a_line_are_cut_off(text: str, blocks: list[str]) -> None:
    assert blocks_of(text) == blocks


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        (["薬 | 量 |", "甲 | 5 mg |", "乙 | 10 mg |"], "薬 | 量"),
        (["語\t意味", "絞り\t光の通る穴の大きさ", "感度\t光への強さ"], "語 | 意味"),
        (["命令\tすること", "ls -l\t一覧を詳しく出す", "df -h\t空きを見る"], "命令 | すること"),
        (["df -h | 空き容量", "du -s | その場の合計の大きさ", "lsof | 開いているファイル"], ""),
        (["わかめ\t10倍\t5分", "ひじき\t8倍\t20分"], ""),
        (["GET | 読み出す。", "POST | 書き込む。"], ""),
        (["即時 | 送るとすぐに反映する。元へは戻せない。 |", "予約 | 夜に反映する。 |"], ""),
    ],
)  # fmt: skip
def test_the_first_row_is_a_header_where_it_names_columns(rows: list[str], header: str) -> None:
    text = "# 表\n\n" + "\n".join(rows) + "\n"
    document = make_document("note.md", text)
    assert owners_of(block_at(document, text.index(rows[-1]))) == ([header] if header else [])


def test_rows_of_the_next_table_have_their_own_header() -> None:
    text = "|甲|乙|\n|--|--|\n|1|2|\n\n|丙|丁|\n|--|--|\n|3|4|\n\n|5|6|\n"
    document = make_document("note.md", text)
    assert owners_of(block_at(document, text.index("|3|4|"))) == ["丙 | 丁"]
    assert owners_of(block_at(document, text.index("|5|6|"))) == []


def test_a_deep_list_keeps_its_nearest_owners() -> None:
    text = "\n".join("  " * depth + f"- 段{depth}" for depth in range(60))
    document = make_document("note.md", text)
    owners = owners_of(block_at(document, text.index("段59")))
    assert owners == [f"段{depth}" for depth in range(53, 59)]


def test_the_pieces_of_a_block_can_be_named_after_it() -> None:
    text = "# 表\n| 品 | 数 |\n|--|--|\n| くわ | 三本 |\n\n- 鍋：使う前に温める\n"
    document = make_document("note.md", text)
    named = [block_at(document, text.index(line)).owners[-1].text for line in ("| くわ", "- 鍋")]
    assert named == ["くわ", "鍋"]


@pytest.mark.parametrize("mark", ["Ⅰ", "一、", "【一】", "(ア)", "①", "★", "🔷", "--- 章 ---"])
def test_any_mark_may_head_a_note(mark: str) -> None:
    one, two = (mark, mark) if "章" in mark else (f"{mark} 東", f"{mark} 西")
    assert len(paths_of(f"{one}\n本文の一です。\n\n{two}\n本文の二です。\n")) == 2


def test_marks_are_told_apart_where_one_is_only_more_frequent() -> None:
    part = "●{0}\n\n〇{0}の甲\n一つ目の話です。\n〇{0}の乙\n二つ目の話です。\n\n"
    text = "".join(part.format(name) for name in ("春", "夏", "秋"))
    assert paths_of(text)[-1] == "秋 › 秋の乙"


def test_a_byte_order_mark_and_blank_lines_are_no_text() -> None:
    assert parse_document(make_document("a.md", "\ufeff\n\u3000\n \t\n")) == ()


@pytest.mark.parametrize("path", NOTES, ids=lambda path: path.name)
def test_no_line_of_a_note_is_left_out_of_its_blocks(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    shown = "".join(blocks_of(text, path.name))
    assert "".join(shown.split()) == "".join(text[front_matter_end(text) :].split())
