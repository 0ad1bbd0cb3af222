"""The whole OpenAPI document against the service: schemathesis makes requests to try it with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from api import create_app
from rag.config import Settings
from tests.fake_assistant import FakeAssistant

EXAMPLES = 25
"""Of right requests to each operation, and of wrong ones."""


def trials() -> Iterator[tuple[str, str, GenerationMode]]:
    """Every operation, tried with right requests, and with wrong ones where there can be any."""
    document = create_app(Settings(), FakeAssistant()).openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, GenerationMode.POSITIVE
            if "requestBody" in operation:
                yield path, method, GenerationMode.NEGATIVE


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401
    folder: Path = tmp_path_factory.mktemp("index")
    app = create_app(Settings(index=folder, allowed_hosts=("*",)), FakeAssistant())
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method", "mode"), list(trials()))
def test_every_operation_keeps_its_promise(
    schema: Any,  # noqa: ANN401
    path: str,
    method: str,
    mode: GenerationMode,
) -> None:
    operation = schema[path][method]

    @given(st.data())
    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    def try_it(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        case.call_and_validate()

    try_it()


def test_the_document_names_every_error_and_is_json() -> None:
    document = create_app(Settings(), FakeAssistant()).openapi()
    json.dumps(document)
    for path in ("/api/search", "/api/ask", "/v1/chat/completions"):
        assert {"401", "413", "421", "422", "429", "503", "504"} <= set(
            document["paths"][path]["post"]["responses"]
        )
