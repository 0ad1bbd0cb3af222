"""What all tests share: how hypothesis works on a slow or busy machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "kotae", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("kotae")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write what golden/*.tsv should hold now"
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are rewritten instead of compared."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session", autouse=True)
def test_client_is_a_known_name() -> Iterator[None]:
    """Starlette's TestClient calls every service `testserver`, a name that it would not answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOTAE_ALLOWED_HOSTS", "testserver")
        yield
