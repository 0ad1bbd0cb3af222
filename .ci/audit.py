"""Known weaknesses of the packages in constraints.txt, by pip-audit; exit status 1 for any.

Where the list of weaknesses cannot be reached it says so and passes: being offline is no fault.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def main(pip_audit: str) -> int:
    """Prints each weakness with the version that mends it."""
    constraints = Path(__file__).parent.parent / "constraints.txt"
    done = subprocess.run(
        [pip_audit, "--requirement", constraints, "--no-deps", "--disable-pip", "--format", "json"],
        capture_output=True,
        text=True,
    )
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"not audited, the list of weaknesses cannot be reached: {reason}")  # noqa: T201
        return 0
    faults = [
        f"{package['name']} {package['version']}: {fault['id']}, mended in "
        f"{', '.join(fault['fix_versions']) or 'no version yet'}"
        for package in packages
        for fault in package.get("vulns", ())
    ]
    skipped = sum("skip_reason" in package for package in packages)
    told = f"{len(packages) - skipped} packages audited, {len(faults)} weaknesses known"
    print(*faults, f"{told}; {skipped} could not be looked up", sep="\n")  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
