from __future__ import annotations

import pytest

from rag.aliases import Aliases
from rag.definition import defined_subject, defines_subject

ALIASES = Aliases.of([["Network Load Balancer", "NLB"]])


@pytest.mark.parametrize(
    ("question", "subject"),
    [
        ("バックアップボールトとは？", "バックアップボールト"),
        ("Lambdaレイヤーって何？", "lambdaレイヤー"),
        ("ＳＥＳって何ですか", "ses"),
        ("じゃあ、VPCとは何ですか？", "vpc"),
        ("Step Functionsってどんなサービス？", "step functions"),
        ("サブネットは何", "サブネット"),
        ("Lambdaの最大実行時間は？", ""),
        ("S3に送るには何を設定する？", ""),
        ("SQSとSNSの違いは？", ""),
        ("あ" * 50 + "とは？", ""),
        ("", ""),
    ],
)
def test_what_is_to_be_defined(question: str, subject: str) -> None:
    assert defined_subject(question) == subject


@pytest.mark.parametrize(
    ("text", "defines"),
    [
        ("ＮＬＢは、第4層で振り分ける。", True),
        ("AWS の NLB（試験時点）は振り分ける。", True),
        ("Network Load Balancerとは、振り分けるもの。", True),
        ("NLBの設定は、あとで変える。", False),
        ("ALBとNLBを比べる。", False),
        ("振り分けるのはNLBである。", False),
        ("", False),
    ],
)
def test_a_text_defines_what_it_begins_with(text: str, defines: bool) -> None:
    assert defines_subject(text, ["NLB"], ALIASES) is defines
    assert not defines_subject(text, [""], ALIASES)
