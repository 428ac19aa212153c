"""The refresh grant in the order that loses no token: read, exchange, store, and only then use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from planday_io.client.asking import Answer
from planday_io.client.tokens import NewRefreshToken, TokenSource, TokenStore
from planday_io.errors import StorageError
from planday_io.state import State


class Store:
    """A store that writes down what happens while a source uses it."""

    def __init__(self, refuses: type[Exception] | None = None) -> None:
        self.done: list[str] = []
        self.refuses = refuses
        self.usable: Callable[[], object] = lambda: None

    def lock(self) -> AbstractContextManager[None]:
        return self._locked()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.done.append("locked")
        yield
        self.done.append("unlocked")

    def read(self) -> str:
        self.done.append("read")
        return "first"

    def write(self, refresh_token: str) -> None:
        self.done.append(f"wrote {refresh_token}, {'usable' if self.usable() else 'not in use'}")
        if self.refuses:
            raise self.refuses("the disk is full")


def answering(**members: object) -> Callable[[str, dict[str, str]], Answer]:
    def post(_: str, form: dict[str, str]) -> Answer:
        assert form["grant_type"] == "refresh_token"
        body = json.dumps({"access_token": f"access of {form['refresh_token']}".replace(" ", "-"), **members})
        return Answer(200, httpx.Headers({"content-type": "application/json"}), body.encode())

    return post


def source_of(store: TokenStore, clock: Callable[[], float] = lambda: 0.0) -> TokenSource:
    return TokenSource(
        identity_url="https://id.example", client_id=lambda: "app", store=store, portal="oslo", clock=clock
    )


def test_a_rotated_token_is_stored_before_use() -> None:
    store = Store()
    source = source_of(store)
    store.usable = source.usable
    token = source.exchange(answering(refresh_token="second"))
    assert store.done == ["locked", "read", "wrote second, not in use", "unlocked"]
    assert source.usable() is token


def test_token_is_stored_before_use() -> None:
    source = source_of(Store(refuses=StorageError))
    with pytest.raises(StorageError):
        source.exchange(answering(refresh_token="second"))
    assert source.usable() is None


@pytest.mark.parametrize("again", [{"refresh_token": "first"}, {}, {"refresh_token": None}])
def test_a_token_that_stays_is_not_written(again: dict[str, object]) -> None:
    store = Store()
    source_of(store).exchange(answering(**again))
    assert store.done == ["locked", "read", "unlocked"]


def test_the_newest_token_is_exchanged_next(tmp_path: Path) -> None:
    configured = ["configured"]
    for number in range(3):
        store = State(tmp_path / "state").refresh_token("oslo", lambda: configured[0])
        token = source_of(store).exchange(answering(refresh_token=f"rotated-{number}"))
        assert token.access_token == ("access-of-configured" if number == 0 else f"access-of-rotated-{number - 1}")
    configured[0] = "authorized-again"
    store = State(tmp_path / "state").refresh_token("oslo", lambda: configured[0])
    assert source_of(store).exchange(answering()).access_token == "access-of-authorized-again"


def test_a_token_authorized_during_an_exchange_wins(tmp_path: Path) -> None:
    """What the server rotates meanwhile descends from the one before."""
    configured = ["configured"]
    store = State(tmp_path / "state").refresh_token("oslo", lambda: configured[0])
    answer = answering(refresh_token="rotated")

    def post(url: str, form: dict[str, str]) -> Answer:
        configured[0] = "authorized-meanwhile"
        return answer(url, form)

    source_of(store).exchange(post)
    with store.lock():
        assert store.read() == "authorized-meanwhile"


@pytest.mark.parametrize(("lifetime", "good_for"), [(3600, 3540), (300, 240), (100, 80), (10, 8)])
def test_a_token_is_renewed_before_it_ends(lifetime: int, good_for: int) -> None:
    now = [1000.0]
    source = source_of(NewRefreshToken("first"), lambda: now[0])
    token = source.exchange(answering(expires_in=lifetime))
    now[0] += good_for - 1
    assert source.usable() is token
    now[0] += 1
    assert source.usable() is None


def test_a_refused_token_takes_no_newer_one_away() -> None:
    source = source_of(NewRefreshToken("first"))
    old = source.exchange(answering(refresh_token="second"))
    new = source.exchange(answering())
    assert new.access_token == "access-of-second"
    source.discard(old)
    assert source.usable() is new
    source.discard(new)
    assert source.usable() is None
