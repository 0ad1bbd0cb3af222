"""`kotae serve` in a process of its own, with the fake embedder."""

from __future__ import annotations

import sys

import pytest

from rag.cli import main
from tests.fakes import install_fake_embedder

if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        install_fake_embedder(patch)
        main(["serve", *sys.argv[1:]])
