"""`kotae index` in a forked process that counts its steps, and may die at one of them."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from rag.cli import main
from rag.config import Settings

STEPS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "shutil.rmtree"}
"""Audit events, see https://docs.python.org/3/library/audit_events.html."""


class ForkedIndexer:
    """Runs the command without the seconds that a new interpreter takes to import everything.

    The process that forks must not have started threads.
    """

    def __init__(self, settings: Settings, log: Path) -> None:
        paths = ("--corpus", str(settings.corpus), "--index", str(settings.index))
        self._arguments = ["index", *paths, "--embedder", settings.embedder]
        self._log = log
        self._counted = mmap.mmap(-1, 8)  # shared with the processes that are forked

    @property
    def steps(self) -> int:
        """How many the longest run so far has taken."""
        return int(struct.unpack("q", self._counted[:8])[0])

    def start(self, fatal_step: int | None = None) -> int:
        """The id of a process that indexes, and kills itself at that step."""
        child = os.fork()
        if child == 0:
            self._run(fatal_step)
        return child

    def _run(self, fatal_step: int | None) -> NoReturn:
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        count = 0

        def watch(event: str, arguments: object) -> None:
            nonlocal count
            if event in STEPS:
                count += 1
                self._counted[:8] = struct.pack("q", max(count, self.steps))
                if count == fatal_step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            main(self._arguments)
        except SystemExit as done:
            os._exit(int(done.code or 0))
        except BaseException:
            traceback.print_exc()
        os._exit(99)
