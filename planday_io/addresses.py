"""What an address says about where it leads. Nothing is resolved or opened here."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    """True when the address is this machine by its spelling: `localhost`, 127.0.0.0/8 or [::1]."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
