"""What an endpoint of the local Planday is: a path, a scope, the parameters it knows, and what answers it.

Every parameter that the OpenAPI document names is declared by its endpoint, so that a known one is never ignored: it is read,
and refused with 400 where it cannot be. What no endpoint declares is ignored, as on live portals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from planday_io.sandbox.people import Json
from planday_io.sandbox.state import App, Sandbox
from planday_io.sandbox.world import Portal


class RefusedError(Exception):
    """The request is answered with a status instead of a document."""

    def __init__(self, status: int, why: str = "") -> None:
        super().__init__(why)
        self.status, self.why = status, why


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as its endpoint understands it.

    Args:
        sandbox, app, portal: which app calls which portal.
        path: of the endpoint, with ids.
        ids: values of the path parameters.
        values: parameter -> value, of those that were sent.
    """

    sandbox: Sandbox
    app: App
    portal: Portal
    path: str
    ids: Mapping[str, Any]
    values: Mapping[str, Any]


Handler = Callable[[Asked], Any]
"""From a request to the JSON document. Raises `RefusedError`."""

Keeps = Callable[[Json, Any, Asked], bool]
"""Whether a row passes a filter with a value; what else was asked for may matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One query parameter.

    Args:
        name: as the OpenAPI document spells it.
        read: from text to value. Raises ValueError.
        is_list: several values, repeated or separated by commas; otherwise only the first is used.
        is_required: without it the request is refused.
        keeps: for a filter: which rows are kept. Others are read by the endpoint's handler.
    """

    name: str
    read: Callable[[str], Any]
    is_list: bool = False
    is_required: bool = False
    keeps: Keeps | None = None

    def of(self, texts: Sequence[str]) -> Any:  # noqa: ANN401 - what `read` makes of it
        """The value of what was sent, or None where nothing was.

        Raises:
            RefusedError: 400, it is required and missing, or not a valid value.
        """
        if self.is_list and texts:
            texts = [part.strip() for text in texts for part in text.split(",") if part.strip()] or [""]
        if not texts:
            if self.is_required:
                raise RefusedError(400, self.name)
            return None
        try:
            return [self.read(text) for text in texts] if self.is_list else self.read(texts[0])
        except ValueError:
            raise RefusedError(400, self.name) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """How a list is paged.

    Args:
        largest: limit that is taken; 50 is the default.
        over: what happens to a larger limit. `unknown` follows the variant.
        is_capitalised: `Limit` and `Offset`.
    """

    largest: int = 50
    over: Literal["refused", "lowered", "unknown"] = "refused"
    is_capitalised: bool = False

    @property
    def names(self) -> tuple[str, str]:
        """The names of the two parameters."""
        return ("Limit", "Offset") if self.is_capitalised else ("limit", "offset")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One GET.

    Args:
        path: with `{path_params}`; ids, unless `texts` names them.
        scope: what the token needs, or None.
        answer: from a request to the document.
        params: besides those of `pages`.
        pages: None for a document.
        texts: path parameters that hold any text.
    """

    path: str
    scope: str | None
    answer: Handler
    params: tuple[Param, ...] = ()
    pages: Pages | None = None
    texts: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def all_params(self) -> tuple[Param, ...]:
        """All parameters, including limit and offset."""
        return (*self.params, *(Param(name=name, read=_count) for name in (self.pages.names if self.pages else ())))

    @cached_property
    def spellings(self) -> dict[str, str]:
        """Parameter names in lower case -> as they are declared."""
        return {param.name.lower(): param.name for param in self.all_params}


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(text)
    return int(text)
