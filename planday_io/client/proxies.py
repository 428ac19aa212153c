"""Chooses the proxy for an address from the usual environment variables.

httpx reads these variables too, but fails if any of them is not an address or if `NO_PROXY` holds an IPv6 network, even for
addresses that they do not concern, and it treats IPv4 networks as single addresses. So the choice is made here, once per
address, and passed to httpx.

A proxy's address may hold a password: no error repeats any of it.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from importlib.util import find_spec
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

import httpx

from planday_io.errors import ConfigError
from planday_io.texts import trimmed

_SCHEMES = ("http", "https", "socks5", "socks5h")
_FORM = "http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT with special characters percent-encoded"
_LABEL = re.compile(r"\w([\w-]{0,61}\w)?")
"""A label of a host name. Windows machines have underscores in theirs; IDNA checks letters of other scripts."""


def proxy_for(url: str, trust: ssl.SSLContext) -> httpx.Proxy | None:
    """The proxy for an address, or None. `trust` is for a proxy that is reached by TLS.

    Raises:
        ConfigError: the variable that applies to the address does not name a usable proxy.
    """
    target = urlsplit(url)
    configured = getproxies()
    if _is_exempt(target, configured.get("no", "")):
        return None
    kind = next((kind for kind in (target.scheme, "all") if trimmed(configured.get(kind, ""))), None)
    if kind is None:
        return None
    place = _place(kind)
    try:
        parts = _parts(trimmed(configured[kind]))
        if parts.scheme not in _SCHEMES:
            raise ConfigError(
                f"{place} names a proxy of an unknown kind: expected {_FORM}, or socks5:// instead of http://. "
                "Correct it, unset it, or list the host in NO_PROXY"
            )
        if parts.scheme.startswith("socks") and find_spec("socksio") is None:
            raise ConfigError(
                f"{place} names a SOCKS proxy, which needs a package that is not installed: run .venv/bin/pip install "
                "'httpx[socks]', or set HTTPS_PROXY to an http:// proxy, or list the host in NO_PROXY"
            )
        return httpx.Proxy(parts.geturl(), ssl_context=trust if parts.scheme == "https" else None)
    except (httpx.InvalidURL, ValueError):
        raise ConfigError(f"{place} is not the address of a proxy: expected {_FORM}. Correct it or unset it") from None


def _parts(text: str) -> SplitResult:
    """The parts of a proxy's address. Raises ValueError if it is not one.

    A path, query or fragment means a password with an unescaped `/`, `?` or `#`, or a typing error: the host and port that
    `urlsplit` found before it are wrong.
    """
    parts = urlsplit(text if "://" in text else f"http://{text}")
    has_rest = parts.path not in ("", "/") or "?" in text or "#" in text
    if has_rest or re.search(r"\s", text) or parts.port == 0 or not _is_host(parts.hostname or ""):
        raise ValueError("not the address of a proxy")
    return parts


def _is_host(host: str) -> bool:
    if ":" in host:
        return bool(ipaddress.IPv6Address(host))
    # Digits alone are a port without a host.
    return not host.isdigit() and all(_LABEL.fullmatch(label) for label in host.removesuffix(".").split("."))


def _place(kind: str) -> str:
    name = f"{kind}_proxy"
    spelt = [one for one in os.environ if one.lower() == name and trimmed(os.environ[one])]
    if not spelt:
        return "the proxy in this system's settings"
    return f"the environment variable {name if name in spelt else spelt[-1]}"


def _is_exempt(target: SplitResult, no_proxy: str) -> bool:
    """Whether `NO_PROXY` lists the host of an address. Entries that are neither names nor networks are ignored."""
    host = (target.hostname or "").rstrip(".").lower()
    port = target.port or (443 if target.scheme == "https" else 80)
    for entry in re.split(r"[,;|\s]+", no_proxy.lower()):
        name, entry_port = _entry(trimmed(entry).strip("\"'"))
        if not name or entry_port not in (None, port):
            continue
        if name == "*" or _covers(name, host):
            return True
    return False


def _entry(entry: str) -> tuple[str, int | None]:
    """The name or network of an entry, and its port where it has one."""
    _, scheme, text = entry.rpartition("://")
    if scheme or text.endswith("/"):
        # An address with a path. Without a scheme, the part after the slash is the size of a network.
        text = text.partition("/")[0]
    if match := re.fullmatch(r"\[([^\]]*)\](/[0-9]+)?(?::([0-9]{1,5}))?", text):
        return match[1] + (match[2] or ""), int(match[3]) if match[3] else None
    name, colon, port = text.rpartition(":")
    if colon and ":" not in name and re.fullmatch(r"[0-9]{1,5}", port):
        return name, int(port)
    return text.removesuffix(":") if ":" not in text[:-1] else text, None


def _covers(name: str, host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        bare = name.removeprefix("*").strip(".")
        return bool(bare) and (host == bare or host.endswith(f".{bare}"))
    try:
        network = ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address in network or (mapped is not None and mapped in network)
