"""`kotae serve`: the chat page and the HTTP API."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rag.commands.command import Command
from rag.commands.opening import open_assistant, settings_of
from rag.commands.terminal import say
from rag.errors import ConfigError

if TYPE_CHECKING:
    from rag.config import Settings


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `kotae serve`."""
    parser.add_argument("--host", help="address to listen on (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, help="port to listen on (8000)")
    parser.add_argument(
        "--watch",
        action="store_true",
        default=None,
        help="take up notes that change meanwhile, without a restart",
    )
    parser.add_argument(
        "--without-keys",
        action="store_true",
        default=None,
        help="let everybody in who reaches the address, from other machines too",
    )


def run_serve(options: argparse.Namespace) -> int:
    """Indexes, then serves the page and the API until stopped."""
    import uvicorn

    from api.access.gate import check_exposure
    from api.app import create_app
    from api.logs import set_up_logging
    from api.serving import server_options

    settings = settings_of(options)
    set_up_logging(settings)
    check_exposure(settings)
    check_address(settings)
    assistant = open_assistant(settings)
    say(f"Kotae → http://{settings.host}:{settings.port}  (Ctrl+C で終了 / to stop)")
    uvicorn.run(
        create_app(settings, assistant),
        host=settings.host,
        port=settings.port,
        **server_options(settings),
    )
    return 0


def check_address(settings: Settings) -> None:
    """Raises ConfigError, before anything slow is done, when it cannot be listened on."""
    from rag.surroundings import why_not_listening

    fault = why_not_listening(settings)
    if fault:
        raise ConfigError(
            f"{fault}; stop the program that does, or choose another with --port N or "
            "--host ADDRESS"
        )


COMMAND = Command(
    name="serve",
    summary="start the chat page and the HTTP API",
    examples=(
        "kotae serve",
        "kotae serve --corpus ~/notes --index ~/.kotae-index --port 8080 --watch",
        "kotae serve --host 0.0.0.0  # for others, after kotae keys add alice",
    ),
    add_options=add_options,
    run=run_serve,
)
