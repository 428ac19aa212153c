"""Proxies of the environment: the right one per address, an error that says what to do, and never a password."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.cli.arguments import current_installation
from planday_io.catalogue import CATALOGUE
from planday_io.client.asking import trusted
from planday_io.client.proxies import proxy_for
from planday_io.config import load_config
from planday_io.errors import AlertError, ConfigError, TransientApiError
from planday_io.monitoring.channels import channels
from planday_io.monitoring.messages import Message
from planday_io.onboarding import authorize
from planday_io.onboarding.check import check
from tests.support.faults import broken_server, refused
from tests.support.installation import Installation

API = "https://openapi.planday.com"
NAMES = [name for kind in ("http", "https", "all", "no") for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY")]
TRUST = trusted(trust_env=False)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def chosen(url: str = API) -> str | None:
    proxy = proxy_for(url, TRUST)
    return str(proxy.url) if proxy else None


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, API, None),
        ({"HTTPS_PROXY": "http://p:1"}, API, "http://p:1"),
        ({"https_proxy": "http://p:1"}, API, "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, API, "http://p:1"),
        ({"HTTPS_PROXY": " http://p:1 "}, API, "http://p:1"),
        ({"HTTPS_PROXY": "http://[fd07::1]:3128"}, API, "http://[fd07::1]:3128"),
        ({"HTTPS_PROXY": "\ufeffhttp://p:1\u00a0\u200b"}, API, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1/"}, API, "http://p:1/"),
        ({"HTTPS_PROXY": "HTTP://win_box.corp.:1"}, API, "http://win_box.corp.:1"),
        ({"HTTPS_PROXY": "http://b\u00fccher:1"}, API, "http://xn--bcher-kva:1"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://p:1"}, API, None),
        ({"HTTPS_PROXY": ""}, API, None),
        ({"HTTP_PROXY": "http://p:1"}, API, None),
        ({"HTTP_PROXY": "ftp://nonsense"}, API, None),
        ({"ALL_PROXY": "http://all:1"}, API, "http://all:1"),
        ({"ALL_PROXY": "socks5://s:1", "HTTPS_PROXY": "http://p:1"}, API, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "localhost,fd07::/64"}, API, "http://p:1"),
        ({"NO_PROXY": "localhost,fd07::/64,[::1],10.0.0.0/8,²,//,:,http://["}, API, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, API, None),
        ({"HTTPS_PROXY": "socks5://s:1", "NO_PROXY": "planday.com"}, API, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": ".Planday.COM"}, API, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example *.planday.com"}, API, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "day.com"}, API, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "openapi.planday.com:443"}, API, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "openapi.planday.com:8443"}, API, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "https://openapi.planday.com"}, API, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "https://openapi.planday.com/"}, API, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "https://openapi.planday.com:443/hr/v1.0"}, API, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "'localhost|openapi.planday.com:'"}, API, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "\ufeffplanday.com"}, API, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "<local>,openapi,10.*,/,://,:"}, API, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/255.0.0.0"}, "https://10.9.9.9", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "https://[::ffff:10.1.2.3]", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "fd07::/64"}, "https://[fd07::12]:8443", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "fd07::/64"}, "https://[fd08::12]", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "[fd07::12]:8443"}, "https://[fd07:0::12]:8443", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "https://10.1.2.3", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.1.2.3/8"}, "https://10.9.9.9", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "https://11.1.2.3", "http://p:1"),
    ],
)
def test_the_proxy_of_an_address(
    bare: pytest.MonkeyPatch, variables: dict[str, str], url: str, proxy: str | None
) -> None:
    for name, value in variables.items():
        bare.setenv(name, value)
    assert chosen(url) == proxy


BAD = [
    "http://",
    "://",
    "proxy:port",
    "http://proxy:port",
    "http://u:hunter2@",
    "http://[::1",
    "http://p:99999",
    "http://p:0",
]
BAD += [
    "ftp://u:hunter2@p:1",
    "socks4://u:hunter2@p:1",
    "http://u:hunter2@p q:1",
    "http://u:hunter2@p:1x",
    "'http://p:1'",
]
BAD += ["http://u:hun/ter2@p:1", "\thttp:// p", "socks5://u:hunter2@p:1", "socks5h://p:1", "file:///etc/hunter2"]
# A path, a query or a fragment is the rest of a password, or of a typing error: the host before it is not what was meant.
BAD += ["http:/p:1", "http//p:1", "http:p:1", "http://http://p:1", "http:////p:1", "http://p:1/x"]
BAD += ["http://u:12#hunter2@p:1", "http://u:12/hunter2@p:1", "http://u:12?hunter2@p:1", "http://p:1?", "p#"]
# Not filled in, lists, ports without hosts, names that no host can have.
BAD += [
    "${PROXY}",
    "http://$HOST:1",
    "http://<proxy>:1",
    "http://*:1",
    "p,q",
    "p|q",
    "http;//p:1",
    "3128",
    ":3128",
    "0",
]
BAD += ["http://p..q:1", "http://.p", "http://-p:1", f"http://{'a' * 64}:1", "\\\\p", "http://p%2e:1", "http://p/:1"]
BAD += [
    "http://p:1,http://q:2",
    "http=p:1;https=q:2",
    "PROXY p:1",
    "fd07::1:3128",
    "http://10.0.0.999:1",
    "http://p\udcff",
]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_that_cannot_be_used_is_named(bare: pytest.MonkeyPatch, name: str, value: str) -> None:
    bare.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        chosen()
    assert f"the environment variable {name}" in str(caught.value)
    assert "hun" not in str(caught.value)
    assert "proxy:port" not in str(caught.value)


def test_a_variable_in_mixed_case_is_named(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("Https_Proxy", "proxy:port")
    with pytest.raises(ConfigError, match="the environment variable Https_Proxy is not the address"):
        chosen()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_commands_take_proxies_from_the_env_file(
    planday: Installation, bare: pytest.MonkeyPatch, encoding: str
) -> None:
    for name in ("https_proxy", "ALL_PROXY", "PLANDAY_CONFIG"):
        bare.setenv(name, "to be restored")
    bare.delenv("https_proxy")
    bare.setenv("ALL_PROXY", "http://set:1")
    bare.setenv("PLANDAY_CONFIG", str(planday.config_path))
    lines = "ALL_PROXY=http://file:1\nhttps_proxy='http://file:2' # ours\nOTHER=x\n"
    (planday.folder / ".env").write_text(lines, encoding=encoding)
    current_installation()
    assert chosen() == "http://file:2"
    assert chosen("http://plain.example") == "http://set:1"
    assert "OTHER" not in os.environ


@pytest.mark.parametrize("value", [b"http://p\xff:1", "http://p\u200bq:1".encode()])
def test_odd_proxy_in_env_file_is_named(planday: Installation, bare: pytest.MonkeyPatch, value: bytes) -> None:
    bare.setenv("PLANDAY_CONFIG", str(planday.config_path))
    (planday.folder / ".env").write_bytes(b"HTTPS_PROXY=" + value + b"\n")
    with pytest.raises(ConfigError, match=r"HTTPS_PROXY in .*\.env cannot be used: character 9 is"):
        current_installation()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.text("htpsockal:/@[]%.0123456789 -é²\t", max_size=30),
    exempt=st.text("localhstfd07:/*.,[]10² ", max_size=30),
)
def test_any_variables_give_proxy_or_clear_error(bare: pytest.MonkeyPatch, value: str, exempt: str) -> None:
    bare.setenv("HTTPS_PROXY", value)
    bare.setenv("NO_PROXY", exempt)
    with suppress(ConfigError):
        chosen()
        chosen("https://[fd07::1]:8443")


@pytest.fixture
def far(planday: Installation) -> Installation:
    """An installation whose API, identity server and webhook are not on this machine."""
    planday.refresh("hr.departments")
    text = planday.config_path.read_text().replace(planday.address, "https://no-such-host.invalid")
    planday.config_path.write_text(
        text.replace("defaults:", "alerts: {webhook: {url: {file: hook.txt}}}\ndefaults:", 1)
    )
    (planday.folder / "hook.txt").write_text("https://no-such-host.invalid/T0/secret")
    return planday


@pytest.mark.parametrize("value", ["socks5://user:hunter2@127.0.0.1:9", "http://user:hunter2@", "proxy:port"])
def test_everything_that_asks_says_what_is_wrong(far: Installation, bare: pytest.MonkeyPatch, value: str) -> None:
    bare.setenv("ALL_PROXY", value)
    texts = [refused(far, ConfigError)]
    texts += [finding.detail for finding in check(far.installation, ["oslo"])]
    with pytest.raises(ConfigError) as caught:
        authorize.authorize(far.installation, "oslo", show=print)
    texts.append(str(caught.value))
    with pytest.raises(ConfigError) as caught:
        authorize.revoke(far.installation, "oslo")
    texts.append(str(caught.value))
    with pytest.raises(AlertError) as alert:
        channels(far.config)["webhook"](Message("test", "a subject", "a text", []))
    texts.append(str(alert.value))
    for text in texts:
        assert "the environment variable ALL_PROXY" in text
        assert "hunter2" not in text
        assert "T0/secret" not in text


def test_an_exempt_network_of_ipv6_disturbs_nobody(planday: Installation, bare: pytest.MonkeyPatch) -> None:
    bare.setenv("NO_PROXY", "localhost,fd07::/64")
    bare.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    assert planday.refresh("hr.departments")[0].rows == 2


def test_a_proxy_is_used_and_its_refusal_named(far: Installation, bare: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def refuse(connection: socket.socket) -> None:
        asked.append(connection.recv(2000))
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        connection.close()

    with broken_server(refuse) as port:
        bare.setenv("https_proxy", f"http://user:hunter2@127.0.0.1:{port}")
        text = refused(far, TransientApiError)
    assert asked[0].startswith(b"CONNECT no-such-host.invalid:443")
    assert b"Proxy-Authorization: Basic dXNlcjpodW50ZXIy" in asked[0]
    assert "the proxy refused the request" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "address",
    [
        *(
            "https://",
            "https://host:port",
            "https://host:99999",
            "https://host:0",
            "https://[::1",
            "https://ho st",
            "https://host\n",
        ),
        *(
            "https://user:hunter2@host",
            "https://host?a=b",
            "https://host#a",
            "//host",
            "host",
            "http://localhost.",
            "²",
        ),
    ],
)
def test_address_that_is_none_is_refused_at_load(planday: Installation, address: str) -> None:
    planday.edit_config(f"api_url: '{planday.address}'", f"api_url: {json.dumps(address)}")
    with pytest.raises(ConfigError, match="https://") as caught:
        load_config(planday.config_path, CATALOGUE)
    assert f"{planday.config_path.name}, line" in str(caught.value)
    assert "hunter2" not in str(caught.value)
