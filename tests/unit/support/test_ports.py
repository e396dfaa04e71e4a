"""Ports for tests' servers: nobody else gets one that was given."""

from __future__ import annotations

import itertools
import socket

import pytest

from tests.support import ports
from tests.support.ports import free_port, slice_of


@pytest.mark.parametrize("workers", [1, 2, 3, 16])
def test_workers_share_no_port(workers: int) -> None:
    slices = [set(slice_of(worker, workers)) for worker in range(workers)]
    assert all(slices)
    assert not any(one & other for one, other in itertools.combinations(slices, 2))


def test_no_port_is_given_twice() -> None:
    given = [free_port() for _ in range(50)]
    assert len(set(given)) == 50
    assert all(ports.FIRST <= one <= ports.LAST for one in given)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_a_port_that_somebody_has_is_passed_over(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((address, free_port())) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "_NEXT", itertools.cycle([port, port, other := free_port()]))
        assert free_port() == other
