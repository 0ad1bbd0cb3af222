"""Stage 8: does a sentence say the opposite of the span it cites? Negations and opposite words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.text import Morpheme, morphemes, normalize_for_search

_MUST = re.compile(
    r"(?:なければ|なくては|ねば|ないと)(?:なら|いけ|だめ|なりま|いけま)(?:ない|ません|せん)?|ざるを得(?:ない|ません)"
)
_NOT_ONLY = re.compile(
    r"だけ(?:で|では)?(?:は)?なく|のみならず|(?:では|てい|でい)ない(?:でしょう|だろう)?か|かもしれ(?:ない|ません)|に過ぎ(?:ない|ません)"
)
_CLAUSE_END = re.compile(r"[、。，．,;；\n]|(?<=ます)が|(?<=です)が|(?<=る)が")
_IN_BRACKETS = re.compile(r"（[^（）]*）|\([^()]*\)")
_HIRAGANA = "".join(map(chr, range(0x3041, 0x3097)))
_NEGATIONS = frozenset({"ない", "ず", "ぬ", "無い", "まい", "なし", "無し"})
_NOUNS_AND_VERBS = frozenset({"名詞", "動詞", "形容詞", "形状詞"})
_LIGHT_WORDS = frozenset(
    {"為る", "居る", "有る", "成る", "出来る", "事", "物", "行う", "無い", "貰う", "必要"}
)
_OPPOSITES = tuple(
    (re.compile(one), re.compile(other))
    for one, other in (
        (r"(?<!無)有効", r"無効"),
        (r"許可", r"拒否|禁止"),
        (r"(?<!非)同期", r"非同期"),
        (
            r"必須|必要(?!な[いく]|はな[いく]|がな[いく]|ありません|はありません)",
            r"不要|必要(?:は|が)?(?:ない|なく|ありません)",
        ),
        (r"(?<!不)可能|できる|できます|可(?:。|$)", r"不可|できない|できません|できず|不可能"),
        (r"以上", r"以下|未満|以内"),
        (r"最大|上限", r"最小|下限"),
        (r"増や|増加|増え", r"減ら|減少|減り"),
        (r"自動(?!車)", r"手動"),
        (r"(?<!非)公開", r"非公開"),
        (r"暗号化(?:する|され|さ|し)", r"復号"),
        (r"前に|事前", r"後に|事後"),
        (r"内部", r"外部"),
        (
            r"(?<!不)対応して|サポートして(?:い(?:る|ます)|いる)",
            r"対応して(?:いない|いません|おらず)|サポートして(?:いない|いません|おらず)",
        ),
        (r"高い|高く", r"低い|低く"),
        (r"速い|速く|高速", r"遅い|遅く|低速"),
        (r"開始", r"停止|終了"),
        (r"(?<!不)変更(?:可|でき)", r"変更不可|不変"),
        (r"毎回|常に|必ず", r"まれに|ときどき"),
        (r"追加", r"削除"),
        (r"成功", r"失敗"),
        (r"インバウンド|受信", r"アウトバウンド|送信"),
        (r"パブリック", r"プライベート"),
        (r"ステートフル", r"ステートレス"),
        (r"送信元", r"送信先|宛先"),
        (r"水平", r"垂直"),
        (r"以外(?:の|に|へ|から)?.{0,12}も", r"に限られ|に限る|だけ|のみ"),
    )
)


def contradicts(statement: str, span: str, place: str = "") -> bool:
    """One negates what the other affirms, or says the opposite word (有効 – 無効) instead.

    `place`, what the span stands under, affirms what it names.
    """
    said, held = _polarity(statement), _polarity(f"{place}\n{span}")
    if said.negated & held.affirmed - held.negated or said.affirmed & held.negated - held.affirmed:
        return True
    folded, around = (normalize_for_search(_MUST.sub("必要。", one)) for one in (statement, span))
    return any(
        mine.search(folded)
        and not theirs.search(folded)
        and theirs.search(around)
        and not mine.search(around)
        for one, other in _OPPOSITES
        for mine, theirs in ((one, other), (other, one))
    )


@dataclass(frozen=True, slots=True)
class _Polarity:
    """Nouns, verbs and adjectives in their normalised form; in a clause with a negation only what
    it negates is told: in 「仕組みを持たない」 a 仕組み is neither affirmed nor negated.
    """

    affirmed: set[str]
    negated: set[str]


def _polarity(text: str) -> _Polarity:
    found = _Polarity(set(), set())
    text = _NOT_ONLY.sub("、", _MUST.sub("必要。", _IN_BRACKETS.sub("", text)))
    for clause in _CLAUSE_END.split(text):
        clause_morphemes = morphemes(clause)
        negated: set[str] = set()
        for number in range(len(clause_morphemes)):
            if _negates(clause_morphemes, number):
                negated |= _negated_words(clause_morphemes[:number])
        if negated:
            found.negated.update(negated)
        else:
            found.affirmed.update(_stem(one) for one in clause_morphemes if _is_word(one))
    return found


def _stem(morpheme: Morpheme) -> str:
    """The noun 残り is the verb 残る."""
    return morpheme.form.rstrip(_HIRAGANA) or morpheme.form


def _negates(found: Sequence[Morpheme], number: int) -> bool:
    morpheme = found[number]
    if morpheme.form not in _NEGATIONS or morpheme.part == "補助記号":
        return False
    return not (morpheme.surface == "ん" and found[number - 1].form != "ます")


def _negated_words(before: Sequence[Morpheme]) -> set[str]:
    """The words of the phrase right before a negation, past a particle if nothing else is there."""
    words: set[str] = set()
    for morpheme in reversed(before[-8:]):
        if morpheme.part == "補助記号" or (
            words and morpheme.part == "助詞" and morpheme.form != "て"
        ):
            break
        if _is_word(morpheme):
            words.add(_stem(morpheme))
    return words


def _is_word(morpheme: Morpheme) -> bool:
    return (
        morpheme.part in _NOUNS_AND_VERBS
        and morpheme.form not in _LIGHT_WORDS
        and not morpheme.form.isascii()
    )
