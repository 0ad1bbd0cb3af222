"""What a reader is told in Japanese: error code → status and sentence, and all other words."""

from __future__ import annotations

from typing import Final

MESSAGES: Final[dict[str, tuple[int, str]]] = {
    # rag.errors
    "config": (500, "設定に誤りがあります。管理者に kotae.toml と環境変数の確認を頼んでください。"),
    "note": (500, "読み込めないノートがあります。管理者に確認を依頼してください。"),
    "empty_corpus": (503, "ノートがまだありません。ノートのフォルダーにファイルを置いてください。"),
    "model": (503, "検索モデルを開けません。管理者に kotae doctor の実行を依頼してください。"),
    "index": (503, "索引を使えません。管理者に kotae index の実行を依頼してください。"),
    "index_missing": (503, "索引がまだありません。管理者に kotae index の実行を依頼してください。"),
    "index_mismatch": (503, "索引が現在の設定と合いません。管理者に再作成を依頼してください。"),
    "index_corrupt": (503, "索引が壊れています。管理者に再作成を依頼してください。"),
    "index_engine": (503, "検索エンジンが応答しません。しばらくしてからもう一度お試しください。"),
    "index_write": (503, "索引を保存できません。ディスクの空きと書き込み権限を確認してください。"),
    "question": (422, "質問を受け付けられません。空でないか、長すぎないかを確認してください。"),
    "not_found": (404, "お探しのページやノートは見つかりません。"),
    "generator": (
        502,
        "回答モデルが応答しませんでした。少し待って再度お試しください。",
    ),
    # the service's own
    "invalid_request": (422, "リクエストの形式が正しくありません。"),
    "invalid_json": (400, "リクエストを JSON として読み取れません。"),
    "unknown_model": (404, "指定された回答モデルはありません。"),
    "method_not_allowed": (405, "このメソッドは使えません。"),
    "too_large": (413, "リクエストが大きすぎます。"),
    "unsupported_media_type": (415, "Content-Type は application/json にしてください。"),
    "http": (400, "リクエストを処理できません。"),
    "not_ready": (503, "準備中です。索引とモデルを読み込んでいます。少しお待ちください。"),
    "invalid_http": (400, "HTTP のリクエストとして読み取れません。"),
    "busy": (503, "ただいま混み合っています。少し待ってから、もう一度お試しください。"),
    "timeout": (504, "時間内に答えられませんでした。質問を短くして、もう一度お試しください。"),
    "client_gone": (499, "接続が切れたため、処理を中止しました。"),
    "slow_request": (408, "リクエストが時間内に届きませんでした。"),
    "headers_too_large": (431, "リクエストのヘッダーが大きすぎます。"),
    "unauthorized": (401, "API キーが要ります。画面ではサインインし直してください。"),
    "wrong_host": (
        421,
        "この名前では応答しません。管理者は allowed_hosts を確認してください。",
    ),
    "wrong_origin": (403, "ほかのサイトからのリクエストは受け付けません。"),
    "rate_limited": (429, "リクエストが多すぎます。少し待ってから、もう一度お試しください。"),
    "feedback": (500, "フィードバックを保存できませんでした。"),
    "internal": (
        500,
        "予期しないエラーが起きました。続くときは、次の番号を管理者に伝えてください。",
    ),
}
"""One row a code; `status_and_message` falls back to `internal`."""

API_DESCRIPTION: Final = (
    "日本語の学習ノートから、引用つきで質問に答えます。"
    "文字の位置は Unicode のコードポイントで、行は 1 から数えます。"
)

REFUSED: Final = "ノートに見つかりません。"
NEAREST_NOTES: Final = "近い内容のノート:"
SOURCES: Final = "出典"
LINE: Final = "{start}行目"
LINES: Final = "{start}〜{end}行目"

SHIPPED_EXAMPLES: Final[tuple[tuple[str, str], ...]] = (
    ("aws/deployment-patterns.md", "ブルー/グリーンデプロイとローリングデプロイの違いは？"),
    ("aws/codedeploy.md", "Lambdaのデプロイに失敗したとき、自動で元に戻すには？"),
    ("aws/cloudformation-stacks.md", "スタックの変更を、実施する前に確かめる方法は？"),
    ("aws/nat-acl.md", "セキュリティグループとネットワークACLの違いは？"),
    ("aws/systems-manager-patch.md", "パッチの適用を自動化するには？"),
)
"""Questions for a first visit, each shown only if its note is in the corpus."""

EXAMPLE_FORMS: Final[tuple[tuple[str, str], ...]] = (
    (r"[？?]$", "{subject}"),
    (r"違い$|比較$|使い分け$", "{subject}は？"),
    (
        r"(?:方法|手順|条件|種類|仕組み|しくみ|流れ|使い方|注意点|制限|特徴|構成|目的|理由|役割)$",
        "{of}{subject}は？",
    ),
    (r"とは$", "{subject}？"),
    (r"^[^のとやを]{2,12}$", "{subject}とは？"),
    (r"", "{subject}について教えて"),
)
"""How a heading that looks so becomes a question, the best first."""

EXAMPLE_OF: Final = "{whole}の"
EXAMPLE_FROM_TITLE: Final = "「{title}」の要点は？"

HEADINGS_WITHOUT_SUBJECT: Final = frozenset(
    (
        *("はじめに", "まとめ", "概要", "目次", "その他", "メモ", "補足", "注意", "例", "参考"),
        *("参考文献", "参考資料", "参考リンク", "背景", "目的", "結論", "感想", "おわりに", "TODO"),
        *("さいごに", "終わりに", "最後に", "関連", "問題", "解答", "解説", "用語", "リンク"),
    )
)
"""Headings that say nothing without the note around them."""


MODEL_NAMES: Final[dict[str, str]] = {"extractive": "抜き出し"}
"""How the model picker calls a model; others go by their own name."""

PAGE_TEXTS: Final[dict[str, str]] = {
    "new_conversation": "新しい会話",
    "searching": "ノートを探しています…",
    "writing": "{count} か所をもとに答えています…",
    "stopped": "途中で止めました。引用の確認は済んでいません。",
    "stopped_early": "答える前に止めました。",
    "stopped_announcement": "回答を止めました。",
    "answered": "回答。{text} 出典 {count} 件。",
    "refused": "ノートに見つかりません。",
    "advice": "言いかえるか、ノートにある言葉で聞くと見つかることがあります。",
    "advice_tags": "「{tags}」のノートだけを探しました。",
    "unconfirmed": "未確認",
    "unconfirmed_title": "この文の内容は、ノートの引用箇所では確かめられませんでした。",
    "unconfirmed_notice": "「未確認」の文は、ノートでは確かめられませんでした。",
    "citation_label": "出典 {number}、{place}。ノートを開く",
    "line": "{start} 行目",
    "lines": "{start}–{end} 行目",
    "hits": "見つかった箇所 {count} 件",
    "answerable": "ノートに答えがある見込み {percent}%",
    "took": "{milliseconds} ミリ秒",
    "tour": "出典 {number} / {count}",
    "score": "点数 {score}",
    "signal_dense": "意味の近さ",
    "signal_words": "単語の一致",
    "signal_bigrams": "文字の並び",
    "signal_late": "語ごとの意味",
    "signal_late_interaction": "語ごとの意味",
    "signal_rerank": "並べ直し",
    "chosen": "（{count} 個選択中）",
    "copied": "出典つきでコピーしました。",
    "copy_failed": "コピーできませんでした。",
    "verdict_saved": "評価を残しました。",
    "comment_saved": "コメントを残しました。",
    "sources": "出典",
    "asked_at": "書き出し",
    "deleted": "「{title}」を削除しました。",
    "undo": "元に戻す",
    "today": "今日",
    "this_week": "この 7 日間",
    "earlier": "それより前",
    "rename_of": "「{title}」の名前を変える",
    "delete_of": "「{title}」を削除する",
    "storage_full": "ブラウザーの保存領域がいっぱいのため、古い会話を消しました。",
    "notes": "ノート",
    "note_count": "{count} 件",
    "note_opened": "ノート「{title}」の引用箇所を開きました。",
    "found_count": "{current} / {count}",
    "found_none": "0 件",
    "offline": "サーバーにつながりません。つながりしだい自動で再開します。",
    "online": "サーバーにつながりました。",
    "error_offline": "サーバーにつながりませんでした。kotae serve が動いているか確認してください。",
    "error_cut_off": "回答が途中で切れました。",
    "error_unexpected": "回答を受け取れませんでした。",
    "error_id": "番号 {id}",
}
"""The chat page's own sentences, handed to its script; `{name}` is filled in there."""

SIGN_IN_WRONG: Final = "このキーでは入れません。"
"""The sign-in page's answer to a wrong or revoked key."""

SLACK_TEXTS: Final[dict[str, str]] = {
    "searching": "ノートを探しています…",
    "writing": "（引用を確認しています…）",
    "help": (
        "ノートについて質問してください。\n"
        "• チャンネルでは `@Kotae 質問`。続きは同じスレッドに、そのまま書けます。\n"
        "• 私へのダイレクトメッセージでは、質問だけを書いてください。\n"
        "• `/kotae 質問` の答えは、あなただけに見えます。"
    ),
    "quote": "「{quote}」",
    "more_sources": "ほか {count} 件",
    "good": "👍",
    "bad": "👎",
    "good_label": "役に立った",
    "bad_label": "役に立たなかった",
    "thanks_good": "評価を残しました。ありがとうございます。",
    "thanks_bad": "評価を残しました。ノートと回答の改善に使います。",
}
"""What the Slack bot says besides answers."""


def status_and_message(code: str) -> tuple[int, str]:
    """HTTP status and Japanese sentence of an error code."""
    return MESSAGES.get(code, MESSAGES["internal"])
