"""What the wording of a short Japanese line tells: a name, a sentence, a pair, a broken-off end."""

from __future__ import annotations

import re

MAX_EXPLANATION_CHARS = 12
"""A mark's line that explains its name in more than this is an item, not a heading."""
MAX_KANA_NOUN_CHARS = 6

_BOILERPLATE = frozenset(
    {"contents", "discussion", "comments", "no responses yet", "toc", "share", "tweet", "menu"}
    | {"top", "home", "目次", "もくじ", "目次を開く", "コメント", "シェア", "いいね", "シェアする"}
    | {
        "関連",
        "関連記事",
        "関連リンク",
        "広告",
        "スポンサーリンク",
        "続きを読む",
        "次のページ",
        "前のページ",
    }
)
"""Lines that a site puts around a note; none of them heads anything."""
_CONTENTS = re.compile(
    r"^(?:この記事の)?(?:目次|もくじ|contents|table of contents)"
    r"[\s\u3000]*(?:[\[［(（].{0,8}[\])）］])?$",
    re.I,
)
_EDIT_LINK = re.compile(r"[ \u3000]?[\[［](?:編集|ソースを編集|edit)[^\]］]{0,20}[\]］]$", re.I)
_REMARK = re.compile(r"[ \u3000]?[（(][^（()）]{1,60}[)）]$")
_SENTENCE_END = re.compile(r"[。．、,，!！;；]$|[^A-Z]\.$")
_PREDICATE_END = re.compile(
    r"(?:[うくすつぬふむゆるぐずぶただ]|です|ます|ません|[さきしたなよい]い|[高低多強弱長短安重軽早速遅近遠深浅広狭良悪古太細薄厚]い|れば|ので|から|けど|って"
    r"|[をにがはもへとでの]|より|[かねよな])$"
)
_FIRM_PREDICATE = re.compile(r"(?:です|ます|する|ない)$")
_CLAUSE = re.compile(r"^.{6,}を.{2,}|[にで]\S{2,12}(?:から|[にでが])\S{2,}")
_NOUN_LIKE_END = re.compile(
    r"(?:とは|について|まで|こと|もの|まとめ|はじめに|おわりに|さいごに|最後に|最初に|ために|ごとに|使い方|やり方|かた|違い|流れ"
    r"|しくみ|仕組み|など|とき|ところ|条件|方法|手順|理由|場合|注意点|ポイント|一覧|種類|基準|目的|対策|特徴|例|コツ)$"
)
_CONTINUES = re.compile(
    r"^(?:を|[にがはとでのもへや](?![ぁ-ん])|[、。）)」』]|から|より|まで|です|ます|では|には|とは|でも|にも"
    r"|ので|なので|として|により|による|によって|において|における|については|ための)(?![ぁ-ん]*[：:])"
)
_BREAKS_OFF = re.compile(r"(?:[をにがはとでへや]|から|より|って)$")
_NUMBER = re.compile(
    r"^(?:第\S{1,6}|[(（]?[0-9０-９a-zA-Zア-ン一二三四五六七八九十][-.．0-9０-９]{0,8}[)）.．、]?|[①-⑳❶-❿])"
    r"[\s\u3000]+"
)
_COLUMNS = re.compile(r"\u3000|\t| {2,}")
_EQUATION = re.compile(r"[=＝→⇒←…]|・・・|\.\.\.")
_COLON = re.compile(r"(?<=[^\s:：0-9])[ \u3000]?[:：](?![:：/])[ \u3000]?(?=\S)")
_NO_NAME = re.compile(
    r"https?://|www\.|^[※＊→⇒↓↑【0-9０-９@#$%&+/;]|^[\W\d_]+$|^[<{\[(（].*[>}\])）]$|[=;{}\\]\s*$|^!\[|[|｜]"
    r"|[<>＜＞≦≧≒≠]|(?:^|\s)--?\w|\s[0-9][0-9.,]*\s?(?:[A-Za-z]{1,3}|[%％℃円])$"
    r"|(?:^|\s)#[^\s0-9]|^\[\S+\]\s|[0-9]{4}\s?[年/.-]\s?[0-9]{1,2}"
)


def is_boilerplate(label: str) -> bool:
    """A line of the site, not of the note: コメント, シェアする."""
    return label.casefold() in _BOILERPLATE or opens_contents(label)


def opens_contents(label: str) -> bool:
    """目次, もくじ, Contents: what follows names the note's headings."""
    return bool(label) and bool(_CONTENTS.match(label))


def without_edit_link(label: str) -> str:
    """`概要[編集]` → 概要, as wikis show their headings."""
    return _EDIT_LINK.sub("", label)


def is_no_name(label: str) -> bool:
    """Code, figures, a URL, a date, a note to the reader: it cannot name what follows."""
    return bool(_NO_NAME.search(label))


def is_pair(label: str) -> bool:
    """A name together with what it means: it does not head what follows."""
    rest = _NUMBER.sub("", label)
    return any(pattern.search(rest) for pattern in (_COLUMNS, _EQUATION, _COLON))


def explains_itself(label: str) -> bool:
    """A pair whose second half outweighs the name: `のれん … 20年以内に償却`."""
    rest = _NUMBER.sub("", label)
    found = min(
        (match for p in (_COLUMNS, _EQUATION, _COLON) if (match := p.search(rest))),
        key=lambda match: match.start(),
        default=None,
    )
    if found is None:
        return False
    name, meaning = rest[: found.start()].strip(), rest[found.end() :].strip()
    return len(meaning) > min(len(name), MAX_EXPLANATION_CHARS)


def is_sentence(label: str, allow_clause: bool = False) -> bool:
    """It says something: a full stop, a predicate, a clause with an object."""
    if _SENTENCE_END.search(label):
        return True
    core = _REMARK.sub("", label) or label
    if _NOUN_LIKE_END.search(core):
        return False
    if len(core) <= MAX_KANA_NOUN_CHARS and re.fullmatch(r"[ぁ-んー]+", core):
        return bool(_FIRM_PREDICATE.search(core))
    return bool(_PREDICATE_END.search(core) or (not allow_clause and _CLAUSE.search(core)))


def continues(label: str) -> bool:
    """It begins in the middle of a sentence."""
    return bool(_CONTINUES.match(label))


def breaks_off(label: str, is_text: bool) -> bool:
    """It ends in the middle of a sentence; only of plain text a particle at the end says so."""
    if not label:
        return False
    if label[-1] in "、,:：「（(":
        return True
    return is_text and bool(_BREAKS_OFF.search(label)) and not _NOUN_LIKE_END.search(label)
