"""`kotae doctor`: tells what is wrong, and what to do."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from rag.commands.command import Command, add_json
from rag.commands.opening import settings_of
from rag.commands.terminal import print_json, print_lines
from rag.errors import ConfigError

if TYPE_CHECKING:
    from rag.config import Settings
    from rag.doctor import Finding


def run_doctor(options: argparse.Namespace) -> int:
    """Prints every check as it is made; status 1 when one fails."""
    settings = settings_of(options)
    findings: list[Finding] = []
    for finding in examine(settings):
        findings.append(finding)
        if not options.json:
            print_lines([f"{'✔' if finding.ok else '✘'} {finding.name}: {finding.message}"])
            print_lines([] if finding.ok else [f"    → {finding.remediation}"])
    well = all(finding.ok for finding in findings)
    if options.json:
        print_json({"ok": well, "checks": [asdict(finding) for finding in findings]})
    return 0 if well else 1


def examine(settings: Settings) -> Iterator[Finding]:
    """What is around Kotae, then Slack's tokens, then notes, index and legs, the slowest last."""
    from rag.doctor import diagnose
    from rag.surroundings import check_surroundings

    yield from check_surroundings(settings)
    if settings.slack_bot_token is not None:
        yield _check_slack_tokens(settings)
    yield from diagnose(settings)


def _check_slack_tokens(settings: Settings) -> Finding:
    from api.slack import check_token
    from rag.doctor import Finding

    # Over HTTP deliveries are signed; a socket has a token of its own.
    socket_mode = settings.slack_signing_secret is None
    try:
        for name in ("slack_bot_token", *(["slack_app_token"] if socket_mode else [])):
            check_token(settings, name)
    except ConfigError as error:
        return Finding("slack tokens", False, str(error), "set it as docs/slack.md shows")
    return Finding("slack tokens", True, "kotae slack" if socket_mode else "POST /slack/events")


COMMAND = Command(
    name="doctor",
    summary="tell what is wrong, and what to do",
    details=(
        "Looks at disk, port, optional packages, tokens, answer servers, notes, index, and each "
        "leg of the search alone. Exit status 1 when something is wrong."
    ),
    examples=(
        "kotae doctor",
        "kotae doctor --corpus ~/notes --index ~/.kotae-index --json",
    ),
    add_options=add_json,
    run=run_doctor,
)
