"""Looks through the files that git keeps for keys, tokens and passwords; exit status 1 for any.

What is meant to look like a secret, in a test or an example, says so: EXAMPLE stands in the line.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

KINDS = {
    "private key": r"-----BEGIN (?:[A-Z ]+ )?PRIVATE KEY-----",
    "Kotae API key": r"\bkotae_[\w-]{40,}",
    "AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "Slack token": r"\bxox[abeoprs]-\d{9,}-[\w-]{10,}|\bxapp-\d-[A-Z0-9]{8,}-\d{9,}-[0-9a-f]{32,}",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{50,}",
    "OpenAI or Anthropic key": r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}",
    "Google key": r"\bAIza[\w-]{35}\b",
    "token in an address": r"https?://[^\s/:@\"']+:[^\s/:@\"'{}<>$]{12,}@",
    "secret in an assignment": (
        r"(?i)\b(?:api_?key|secret|token|password)\w*\s*[:=]\s*[\"'](?=\S*\d)(?=\S*[A-Za-z])"
        r"[A-Za-z0-9+/_=-]{28,}[\"']"
    ),
}
ALLOWED = "EXAMPLE"
MAX_BYTES = 5_000_000


def find_secrets(text: str) -> Iterator[tuple[int, str]]:
    """The line, from 1, and the kind of everything that looks like a secret."""
    for number, line in enumerate(text.splitlines(), start=1):
        if ALLOWED in line.upper():
            continue
        for kind, pattern in KINDS.items():
            if re.search(pattern, line):
                yield number, kind


def kept_files(folder: Path) -> list[Path]:
    """The files that git keeps, or is about to."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    paths = [folder / name.decode() for name in listed.stdout.split(b"\0") if name]
    return [path for path in paths if path.is_file() and path.stat().st_size <= MAX_BYTES]


def main() -> int:
    """Prints where each stands, but not the secret."""
    folder = Path(__file__).parent.parent
    found = [
        f"{path.relative_to(folder)}:{line}: looks like a {kind}"
        for path in kept_files(folder)
        for line, kind in find_secrets(path.read_text(encoding="utf-8", errors="replace"))
    ]
    sys.stdout.writelines(f"{place}\n" for place in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
