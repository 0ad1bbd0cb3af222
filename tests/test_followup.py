from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rag.assistant import Assistant
from rag.config import DEFAULT_EMBEDDER, Settings
from rag.followup import (
    BothWays,
    Leaning,
    belongs_to_context,
    context_of,
    leaning_of,
    noun_phrases,
    subject_words,
)
from rag.text import morphemes

PROJECT = Path(__file__).parent.parent
TOPIC_CHANGES = PROJECT / "eval" / "topics" / "aws.jsonl"
ALONE, EITHER, CONNECTED = Leaning.ALONE, Leaning.EITHER, Leaning.CONNECTED
ELLIPTIC, POINTS_BACK = Leaning.ELLIPTIC, Leaning.POINTS_BACK


@pytest.mark.parametrize(
    ("question", "leaning"),
    [
        ("それの料金は？", POINTS_BACK),
        ("それぞれの違いは？", POINTS_BACK),
        ("両者の使い分けは？", POINTS_BACK),
        ("では、その中には何を置く？", POINTS_BACK),
        ("他にどんな値がある？", POINTS_BACK),
        ("なぜ？", POINTS_BACK),
        ("もっと詳しく教えて", POINTS_BACK),
        ("どんな状況で起こるの？", POINTS_BACK),
        ("ECSの場合は？", ELLIPTIC),
        ("ＥＣＳだと？", ELLIPTIC),
        ("S3に送るときはどうなりますか？", ELLIPTIC),
        ("何も返ってこなかったら？", POINTS_BACK),
        ("箱を開けなければ？", ELLIPTIC),
        ("ロールのほうは何に付ける？", ELLIPTIC),
        ("では上限は？", ELLIPTIC),
        ("サブネットはどう？", ELLIPTIC),
        ("じゃあswapは何をする？", CONNECTED),
        ("逆に短所は何？", CONNECTED),
        ("ビルドは何に任せる？", EITHER),
        ("富士山の高さは？", EITHER),
        ("日時をびしっと指定したいときはどっちの式？", EITHER),
        ("じゃあSESって何？", ALONE),
        ("VPCとは？", ALONE),
        ("ところで料金は？", ALONE),
        ("SQSのメッセージの保持期間は？", ALONE),
        ("箱と蓋と鍵を買うのはどんな場合？", ALONE),
        ("箱の鍵を蓋の裏の袋に入れた場合、それと紐のどちらを先に渡す？", ALONE),
        ("", POINTS_BACK),
        ("？？", POINTS_BACK),
    ],
)  # fmt: skip
def test_the_wording_tells_whether_a_question_leans_on_another(
    question: str, leaning: Leaning
) -> None:
    assert leaning_of(question) is leaning


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("富士山の高さ", ["富士山", "高さ"]),
        ("カレーの作り方", ["カレー", "作り方"]),
        ("EC2 Instance Connectのほう", ["EC2 Instance Connect"]),
        ("料金 上限", ["料金", "上限"]),
        ("そのとき、何をする場合", []),
        ("", []),
    ],
)
def test_noun_phrases_are_runs_of_nouns(text: str, phrases: list[str]) -> None:
    assert noun_phrases(morphemes(text)) == phrases


def test_the_subject_is_the_first_noun_phrase() -> None:
    assert subject_words("じゃあ、可視性タイムアウトの上限は？") == ["可視", "タイム", "アウト"]
    assert subject_words("なぜ？") == []


@pytest.mark.parametrize(
    ("history", "context"),
    [
        ([], ""),
        (["", " "], ""),
        (["犬の話を聞かせて", " SQSの上限は何件？ "], "SQSの上限は何件？"),
        (["SQSの上限は何件？", "", "SNSの場合は？"], "SQSの上限は何件？ SNSの場合は？"),
        (["それは？"], "それは？"),
    ],
)
def test_the_context_is_the_last_question_with_the_one_it_leans_on(
    history: list[str], context: str
) -> None:
    assert context_of(history) == context


def searched(
    met_joined: float, foreign: bool = False, answerable: float = 0.1, met_alone: float = 0.7
) -> BothWays:
    """Elsewhere the question's words are met from 0.41 up to 0.60, in steps of 0.01."""
    elsewhere = np.linspace(0.41, 0.60, 20, dtype=np.float32)
    return BothWays(foreign, answerable, met_alone, met_joined, elsewhere)


@pytest.mark.parametrize(
    ("leaning", "both", "belongs"),
    [
        (POINTS_BACK, searched(0.4, foreign=True), True),
        (ELLIPTIC, searched(0.5), True),
        (ELLIPTIC, searched(0.595, foreign=True), False),  # one of 20 chunks meets it better
        (ELLIPTIC, searched(0.61, foreign=True), True),  # misspelt, but met best of all
        (EITHER, searched(0.65), True),
        (EITHER, searched(0.58), False),  # two of 20 chunks meet it better
        (EITHER, searched(0.65, answerable=0.9), False),  # answered without context
        (EITHER, searched(0.65, met_alone=0.95), False),  # met far better alone
        (EITHER, searched(0.595, foreign=True), False),
        (CONNECTED, searched(0.5), True),
        (CONNECTED, searched(0.5, answerable=0.3), False),
        (CONNECTED, searched(0.65, answerable=0.3), True),
    ],
)
def test_what_was_found_with_the_context_is_taken_where_it_is_about_the_question(
    leaning: Leaning, both: BothWays, belongs: bool
) -> None:
    assert belongs_to_context(leaning, both) is belongs


@pytest.mark.slow
def test_another_topic_is_answered_or_refused_as_if_nothing_had_been_asked_before(
    tmp_path: Path,
) -> None:
    settings = Settings(
        corpus=PROJECT / "corpus", index=tmp_path / "index", embedder=DEFAULT_EMBEDDER
    )
    assistant = Assistant.open(settings)
    cases = [json.loads(line) for line in TOPIC_CHANGES.read_text(encoding="utf-8").splitlines()]
    for case in cases:
        after = assistant.ask(case["question"], history=case["history"])
        alone = assistant.ask(case["question"])
        assert after.refused == alone.refused, case["question"]
        if case["answerable"]:
            assert after.hits[0] == alone.hits[0], case["question"]
    follow = assistant.ask("メモリの割り当ては？", history=["Lambdaの最大実行時間は？"])
    assert "10,240 MB" in follow.text
