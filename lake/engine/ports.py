"""Find ports on this machine's own address.

Nothing here listens on any other.
"""

from __future__ import annotations

import socket

__all__ = ["HOST", "free_ports", "is_free"]

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Tell whether nobody listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
