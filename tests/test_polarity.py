from __future__ import annotations

import pytest

from rag.polarity import contradicts


@pytest.mark.parametrize(
    ("statement", "span"),
    [
        ("順序を保証します。", "順序は保証しない"),
        ("順序を保証しません。", "順序は保証する"),
        ("またいで転送できます。", "またいだ転送（クロスリージョン転送）ができない"),
        ("オプションが用意されています。", "オプションが用意されていない"),
        ("インストールする必要はありません。", "先にインストールしておかなければならない"),
        ("既定で有効です。", "既定では無効である"),
        ("同期で呼び出されます。", "非同期で呼び出される"),
        ("1分以上かかります。", "1分以内に終わる"),
        ("最小は3です。", "最大は3である"),
        ("通信を許可します。", "通信を拒否する"),
        ("手動で更新されます。", "自動で更新される"),
        ("設定は不要です。", "設定が必要である"),
        ("設定を変更できません。", "設定を変更できる"),
        ("ログが残りません。", "失敗するとログが残り、原因を追える"),
        ("ほかのメトリクス以外も扱えます。", "扱えるのはメトリクスに限られる"),
    ],
)  # fmt: skip
def test_the_opposite_is_noticed(statement: str, span: str) -> None:
    assert contradicts(statement, span)


@pytest.mark.parametrize(
    ("statement", "span"),
    [
        ("順序は保証されません。", "順序を保証しない"),
        ("同期する仕組みがありません。", "同期する仕組みは持っていない"),
        ("エージェントを入れる必要があります。", "エージェントを入れなければならない"),
        ("使わなければなりません。", "使う必要がある"),
        ("ポートを塞いでいないか確認します。", "ポートを塞いでしまうと接続できない"),
        ("標準だけでなくFIFOも使えます。", "標準もFIFOも使える"),
        ("既定で有効です。", "既定で有効。無効にもできる"),
        ("既定は30秒です。", "既定は30秒である"),
        ("", ""),
    ],
)
def test_the_same_in_other_words_is_no_contradiction(statement: str, span: str) -> None:
    assert not contradicts(statement, span)


def test_what_a_span_stands_under_is_affirmed() -> None:
    assert contradicts("自動でデプロイしません。", "プッシュされたとき", "自動デプロイのきっかけ")
