from __future__ import annotations

import signal

import pytest

from tests.support.live import ROOT

# Where the tests run in the background of a shell, SIGINT is ignored, and whatever they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _deployed() -> None:
    if not (ROOT / ".local" / "kubeconfig").is_file():
        pytest.fail("the live tests need the embedded environment: run `make test-live`", pytrace=False)
