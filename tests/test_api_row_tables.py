"""Rows told one by one become a table again."""

from __future__ import annotations

import pytest

from api.rendering import render_statement
from api.row_tables import RowTable, tables_of

ROWS = "- 単位 — ACL：サブネット／SG：インスタンス\n- 向き — ACL：入／出とも／SG：戻りは自動"
TABLE = RowTable(
    ("ACL", "SG"),
    (("単位", ("サブネット", "インスタンス")), ("向き", ("入／出とも", "戻りは自動"))),
)


@pytest.mark.parametrize(
    ("why", "text", "expected"),
    [
        ("rows alone", ROWS, [TABLE]),
        ("text around them", f"違い。\n{ROWS}\n以上。", ["違い。", TABLE, "以上。"]),
        ("one row", "- 単位 — ACL：一／SG：二", ["- 単位 — ACL：一／SG：二"]),
        ("one column", "- 一 — 秒：1\n- 二 — 秒：2", ["- 一 — 秒：1\n- 二 — 秒：2"]),
        (
            "other columns",
            "- 一 — 秒：1／分：2\n- 二 — 時：1／日：2",
            ["- 一 — 秒：1／分：2", "- 二 — 時：1／日：2"],
        ),
        ("a list", "次のとおり。\n- 一\n- 二", ["次のとおり。\n- 一\n- 二"]),
        ("no text", "", [""]),
    ],
)
def test_rows_of_the_same_columns_become_a_table(
    why: str, text: str, expected: list[str | RowTable]
) -> None:
    assert list(tables_of(text)) == expected, why


def test_table_names_its_rows_and_columns_and_runs_nothing() -> None:
    rendered = render_statement(ROWS.replace("サブネット", "<b onclick=x>**30秒**"))
    assert '<th scope="col">ACL</th>' in rendered
    assert '<th scope="row">単位</th>' in rendered
    assert "<td>&lt;b onclick=x&gt;<strong>30秒</strong></td>" in rendered
