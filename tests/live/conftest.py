from __future__ import annotations

import pytest

from tests.support.live import ROOT, wait_for_kcp


@pytest.fixture(scope="session", autouse=True)
def _deployed() -> None:
    if not (ROOT / ".local" / "kubeconfig").is_file():
        pytest.fail("the live tests need the embedded environment: run `make test-live`", pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Begin no test, and no second try of one, while kcp is being started again: all of them would fail."""
    wait_for_kcp()
