"""`kotae doctor`: tells what is wrong, and what to do."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from rag.commands.command import Command, add_json
from rag.commands.opening import settings_of
from rag.commands.terminal import print_json, print_lines


def run_doctor(options: argparse.Namespace) -> int:
    """Prints every check; status 1 when one fails."""
    from rag.doctor import diagnose

    checks = diagnose(settings_of(options))
    if options.json:
        print_json({"ok": all(c.ok for c in checks), "checks": [asdict(c) for c in checks]})
    else:
        for check in checks:
            print_lines([f"{'✔' if check.ok else '✘'} {check.name}: {check.message}"])
            if not check.ok:
                print_lines([f"    → {check.remediation}"])
    return 0 if all(check.ok for check in checks) else 1


COMMAND = Command(
    name="doctor",
    summary="tell what is wrong, and what to do",
    details="Exit status 1 when something is.",
    examples=(
        "kotae doctor",
        "kotae doctor --corpus ~/notes --index ~/.kotae-index --json",
    ),
    add_options=add_json,
    run=run_doctor,
)
