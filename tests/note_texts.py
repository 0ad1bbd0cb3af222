"""Texts for hypothesis: lines of every kind a note may hold, and any Unicode between them."""

from __future__ import annotations

from hypothesis import strategies as st

LINES = (
    *(
        "# 見出し",
        "## 小見出し",
        "#タグ",
        "- 項目です。",
        "  - 下の項目",
        "\t- 字下げ",
        "■ 印",
        "　◎内",
        "【札】",
    ),
    *(
        "【1】章",
        "1. 一",
        "1-2. 二",
        "(3) 三",
        "① 丸",
        "第1章 題",
        "Q1. 問いですか",
        "A. 答えです",
        "問　何",
        "答　これ",
    ),
    *(
        "| 甲 | 乙 |",
        "|---|---|",
        "| 1 | 2 |",
        "名前 | 値 |",
        "a\tb\tc",
        "a\tb",
        "```",
        "```py",
        "~~~",
        "---",
        "====",
    ),
    *(
        "・点",
        "-",
        "> 引用",
        "> [!note] 題",
        ":::details 題",
        ":::",
        "短い行",
        "目次",
        "概要[編集]",
        "項: 値",
        ": 値",
    ),
    *(
        "  深い行",
        "    もっと深い行",
        "長い文章。 - 次",
        "文が一つあります。文がもう一つあります。",
        "[* 星]",
        "**太字**",
    ),
    *(
        "[^1]: 注",
        "[[頁|名]]",
        "![図](a.png)",
        "<b>太字</b>",
        "&amp;",
        "<!-- 注 -->",
        "\ufeff",
        "",
        "\u3000",
    ),
)
ANY_TEXT = st.text(
    alphabet=st.characters(categories=None), max_size=60
)  # lone surrogates, NUL, U+2028 and all
LINE = st.one_of(st.sampled_from(LINES), ANY_TEXT)
BREAK = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\n\n\n"])
NOTE = st.lists(st.tuples(LINE, BREAK), max_size=25).map(
    lambda lines: "".join(line + ending for line, ending in lines)
)
TAGS: tuple[str, ...] = (
    "<p>",
    "</p>",
    "<br>",
    "<ul>",
    "<li>",
    "</li>",
    "</ul>",
    "<table>",
    "<tr>",
    "<td>",
    "<th>",
)
TAGS += ("</table>", "<h2>", "</h2>", "<dl>", "<dt>", "<dd>", "<div class='a b'>", "</div>", "<b>")
TAGS += ("</b>", "<pre>", "</pre>", "<caption>", "<td rowspan=3>", "&nbsp;", "&#12354;", "<")
TAGS += ("</", "<!-- 注 -->", "<!--", "<script>x</script>", "<nav>", "</nav>", "<a href='", "\n")
HTML_NOTE = st.lists(st.one_of(st.sampled_from(TAGS), LINE), max_size=40).map("".join)


def is_blank(text: str) -> bool:
    """Nothing that a chunk would have to hold; a byte order mark is no text."""
    return not text.replace("\ufeff", "").strip()
