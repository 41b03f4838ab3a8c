"""On which port do we answer? One that is taken before anything is promised."""

from __future__ import annotations

import ipaddress
import socket

from hrlaif.errors import UsageError


def listen(host: str, port: int) -> socket.socket:
    """Takes a port (0: any that is free). Raises UsageError where that is not possible."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
    except (OSError, OverflowError) as error:
        listening.close()
        raise UsageError(f"cannot listen on {host}:{port} ({error}): give another --port") from None
    return listening


def loopback(host: str) -> bool:
    """True when only programs on this machine can reach a host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
