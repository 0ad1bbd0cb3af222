"""The `kotae` command, from its arguments to its exit status.

Results go to stdout, progress and messages to stderr. Exit status: 0 done, 1 a gate or a check
failed, 2 the user's mistake, told in one line.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from rag.commands import build_parser
from rag.commands.terminal import drop_stdout, print_error
from rag.errors import RagError


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # what the terminal cannot show is escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except RagError as error:
        print_error(error)
        status = 2
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # `kotae search … | head`
        drop_stdout()
        status = 0
    except OSError as error:  # such as a full disk behind stdout
        drop_stdout()
        print_error(error)
        status = 2
    sys.exit(status)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = build_parser().parse_args(arguments)
    except SystemExit as done:  # --help, or a mistake that is told already
        return int(done.code or 0)
    return int(options.run(options))
