"""Where the web UI listens; that it starts and stops is for the browser tests."""

from __future__ import annotations

import socket

import pytest

from lakehouse_assets.up import DEFAULT_PORT, PortTakenError, choose_port


def test_a_port_that_is_taken_is_refused_by_name() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(PortTakenError, match=f"port {port}: something else listens there"):
            choose_port(port)


def test_another_port_is_chosen_where_the_usual_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakehouse_assets.up.is_free", lambda port: port != DEFAULT_PORT)

    chosen = choose_port(None)

    assert chosen not in (DEFAULT_PORT, 0)


def test_the_port_asked_for_is_taken_if_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakehouse_assets.up.is_free", lambda _: True)

    assert (choose_port(3456), choose_port(None)) == (3456, DEFAULT_PORT)
