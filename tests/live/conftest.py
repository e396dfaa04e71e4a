from __future__ import annotations

import pytest

from tests.support.live import ROOT


@pytest.fixture(scope="session", autouse=True)
def _deployed() -> None:
    if not (ROOT / ".local" / "kubeconfig").is_file():
        pytest.fail("the live tests need the embedded environment: run `make test-live`", pytrace=False)
