"""Stage 6: does a question stand on its own, or lean on the one before it? Told by its wording.

Japanese leaves out what was just spoken of (「上限は？」), points at it (「それの料金は？」) or
names only what is new (「ECSの場合は？」). A question with several noun phrases of its own leaves
out nothing. In between the wording does not tell: 「ビルドは何に任せる？」 leans on what was asked
about Jenkins, 「富士山の高さは？」 on nothing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from rag.protocols import Matrix
from rag.text import Morpheme, morphemes, normalize_for_search, words

ENOUGH_PHRASES = 3
MANY_PHRASES = 6
"""A question of so many noun phrases says itself what it is about; of still more, whatever else it
points at stands in it, too."""
MOST_MET_BETTER = 0.05
MOST_MET_BETTER_IF_FOREIGN = 0.01
LEAST_KEPT = 0.5
ANSWERED_ALONE = 0.6
REFUSED_ALONE = 0.2
"""Chosen on the follow-ups of the gold questions, and on the others behind one of another topic."""
_NEW_SUBJECT = re.compile(r"^(?:ところで|話は?が?(?:変|かわ)|別の話|別件)")
_OPENING = re.compile(
    r"^(?:(?:じゃあ?|それじゃあ?|それでは|では|でも|だったら|なら|そしたら|あと|で|逆に|さらに|ちなみに|なるほど"
    r"|また|次に|ついでに)[、,\s]*)+"
)
_LEFT_OPEN = re.compile(
    r"(?:(?<!どんな)(?<!どういう)(?<!どの)(?:場合|とき|時|ケース)(?:には|は|だと|って)?"
    r"|だと|なら|たら|れば|けば|せば|では|の(?:ほう|方)(?:は|だと|って)?)"
    r"、?(?:(?:どう|どこ|いくつ|いくら|だめ|可能)(?:なの|なる|なります|です|でしょう|だろう)?か?)?$"
)
"""What the question ends with asks what holds in this case, without saying of what."""
_CONTRASTED = re.compile(r"の(?:ほう|方)(?:は|だと|って|も|に|を|が)")
_CHOSEN = re.compile(r"どっち|どちら")
"""One of several things, which may have been spoken of."""
_DEFINED = re.compile(r"(?:とは|って(?:何|なに|誰|どんな|どういう).*)$")
_ENDING = re.compile(r"[\s。、?!.,]+$")
_POINTING = frozenset(
    {"其れ", "其処", "其方", "其の", "其奴", "此れ", "此処", "此方", "此の", "そこ", "ここ"}
    | {"そんな", "こんな", "そう", "こう", "さっき", "先程"}
    | {"代わり", "前者", "後者", "両者", "両方", "其々", "各々", "互い", "残り", "他", "同じ"}
)  # fmt: skip
_FORMAL_NOUNS = frozenset(
    {"事", "物", "時", "場合", "方", "為", "様", "奴", "所", "人", "訳", "後", "前", "中"}
    | {"上", "下", "状況", "感じ", "理由", "例", "具体", "話", "ケース", "仕方", "最後", "最初"}
)  # fmt: skip
_NOMINAL = frozenset({"名詞", "形状詞", "接頭辞", "接尾辞"})
_END = Morpheme("", "", "")


class Leaning(Enum):
    """How a question stands to the one before it.

    EITHER where its wording does not tell; CONNECTED where nothing but its beginning (じゃあ, 逆に)
    does.
    """

    ALONE = "alone"
    EITHER = "either"
    CONNECTED = "connected"
    ELLIPTIC = "elliptic"
    POINTS_BACK = "points back"


def leaning_of(question: str) -> Leaning:
    """What the wording tells of a question that another one went before."""
    asked = _ENDING.sub("", normalize_for_search(question).strip())
    found = morphemes(_OPENING.sub("", asked))
    phrases = len(noun_phrases(found))
    if _NEW_SUBJECT.match(asked) or phrases >= MANY_PHRASES:
        return Leaning.ALONE
    points = _points_back(found)
    elliptic = bool(_LEFT_OPEN.search(asked) or _CONTRASTED.search(asked))
    if phrases >= ENOUGH_PHRASES:
        leans = points or elliptic or _CHOSEN.search(asked)
        return Leaning.EITHER if leans else Leaning.ALONE
    if points or not phrases:
        return Leaning.POINTS_BACK
    if elliptic or (phrases == 1 and _is_bare_topic(found)):
        return Leaning.ELLIPTIC
    if _DEFINED.search(asked):
        return Leaning.ALONE
    return Leaning.CONNECTED if phrases == 1 and _OPENING.match(asked) else Leaning.EITHER


def context_of(history: Sequence[str]) -> str:
    """What a question may lean on: the last one before it, with the one that this leans on."""
    turns = [turn.strip() for turn in history if turn.strip()]
    if not turns:
        return ""
    leans = leaning_of(turns[-1]) in {Leaning.ELLIPTIC, Leaning.POINTS_BACK}
    return " ".join(turns[-2:] if leans else turns[-1:])


def subject_words(question: str) -> list[str]:
    """The words of its first noun phrase, as they are searched for."""
    found = morphemes(_OPENING.sub("", normalize_for_search(question).strip()))
    return words(next(iter(noun_phrases(found)), ""))


@dataclass(frozen=True, slots=True)
class BothWays:
    """A question searched for alone and joined with its context.

    `foreign`: its subject stands nowhere in the notes. `met` are cosines: how well the question's
    own tokens are met in the best hit of either search, and in `elsewhere`, chunks picked without
    regard to the question.
    """

    foreign: bool
    answerable_alone: float
    met_alone: float
    met_joined: float
    elsewhere: Matrix


def belongs_to_context(leaning: Leaning, searched: BothWays) -> bool:
    """Whether what was found with the context is about the question, too, and is needed.

    A question off the topic finds the old topic again when joined with it; but there its own words
    are met hardly better than anywhere else.
    """
    if leaning is Leaning.POINTS_BACK:
        return True
    met_better = float(np.mean(searched.elsewhere > searched.met_joined))
    if searched.foreign and met_better > MOST_MET_BETTER_IF_FOREIGN:
        return False
    if leaning is Leaning.ELLIPTIC:
        return True
    if leaning is Leaning.CONNECTED and searched.answerable_alone < REFUSED_ALONE:
        return True
    usual = float(np.median(searched.elsewhere))
    kept = searched.met_joined - usual >= LEAST_KEPT * (searched.met_alone - usual)
    return kept and met_better <= MOST_MET_BETTER and searched.answerable_alone < ANSWERED_ALONE


def noun_phrases(found: Sequence[Morpheme]) -> list[str]:
    """Runs of nouns with what is fixed to them, 高さ and 作り方 too; none of formal nouns alone."""
    phrases: list[str] = []
    run: list[Morpheme] = []
    for morpheme, following in itertools.pairwise((*found, _END, _END)):
        if run and _continues(run[-1], morpheme, following):
            run.append(morpheme)
            continue
        if any(_names_something(one) for one in run):
            phrases.append("".join(one.surface for one in run))
        run = [morpheme] if _may_begin(morpheme, following) else []
    return phrases


def _continues(last: Morpheme, morpheme: Morpheme, following: Morpheme) -> bool:
    """It belongs to the run that ends with `last`; a space does so between two Latin words."""
    if morpheme.part == "空白":
        return last.surface.isascii() and following.surface[:1].isascii()
    return morpheme.part in _NOMINAL and not (last.part == "名詞" and _is_formal(morpheme))


def _may_begin(morpheme: Morpheme, following: Morpheme) -> bool:
    nominalised = morpheme.part in {"形容詞", "動詞"} and following.part == "接尾辞"
    return nominalised or morpheme.part in _NOMINAL


def _names_something(morpheme: Morpheme) -> bool:
    if morpheme.part == "接尾辞":
        return morpheme.form in {"さ", "方"}
    return morpheme.part == "名詞" and not _is_formal(morpheme)


def _is_formal(morpheme: Morpheme) -> bool:
    return morpheme.form in _FORMAL_NOUNS or morpheme.form in _POINTING


def _points_back(found: Sequence[Morpheme]) -> bool:
    """A demonstrative stands before every noun of the question's own."""
    for morpheme in found:
        if morpheme.form in _POINTING:
            return True
        if _names_something(morpheme):
            return False
    return False


def _is_bare_topic(found: Sequence[Morpheme]) -> bool:
    """「RPOは？」, 「サブネットはどう？」: a topic, and nothing that is said or asked of it."""
    rest = [one.surface for one in found if one.part not in _NOMINAL and one.part != "空白"]
    return bool(rest) and set(rest) <= {"は", "も", "どう", "です", "か", "な"}
