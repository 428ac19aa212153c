"""Parses addresses, without resolving or opening them."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit


def parts_of(url: str) -> SplitResult | None:
    """The parts of an address; None if it has no host, an invalid port, white space, or a password."""
    try:
        parts = urlsplit(url)
        is_good = bool(parts.scheme and parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    return parts if is_good and "@" not in parts.netloc and not re.search(r"[\s\x00-\x1f\x7f]", url) else None


def is_loopback(url: str) -> bool:
    """True if the address names this machine: `localhost`, 127.0.0.0/8 or [::1]."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
