"""What must not stand in HTML that is made of somebody's notes."""

from __future__ import annotations

import re
from html.parser import HTMLParser

RUNS_OR_LOADS = {
    *("script", "style", "iframe", "frame", "object", "embed", "applet", "base", "meta", "link"),
    *("form", "input", "textarea", "select", "svg", "math", "img", "picture", "video", "audio"),
    *("source", "track", "template", "noscript"),
}
SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
SAFE_SCHEMES = {"http", "https", "mailto"}


class _Finder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in RUNS_OR_LOADS:
            self.faults.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on") or name in ("style", "srcdoc", "formaction", "id", "name"):
                if not (name == "id" and re.fullmatch(r"L\d+", value or "")):
                    self.faults.append(f"<{tag} {name}>")
            elif name in ("href", "src", "action", "xlink:href", "background"):
                found = SCHEME.match(re.sub(r"[\x00-\x20]", "", value or ""))
                if found and found.group(1).lower() not in SAFE_SCHEMES:
                    self.faults.append(f"<{tag} {name}={value!r}>")


def faults_of_html(safe: str) -> list[str]:
    """Tags, attributes and addresses that run, load, style or name anything; none is expected."""
    finder = _Finder()
    finder.feed(safe)
    finder.close()
    return finder.faults
