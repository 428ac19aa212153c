"""The picture of the error tree is the tree."""

from __future__ import annotations

from collections.abc import Iterator

from planday_io import errors


def below(parent: type[errors.PlandayError]) -> Iterator[tuple[str, str]]:
    """(class, parent) of everything below a class."""
    for one in parent.__subclasses__():
        yield one.__name__, parent.__name__
        yield from below(one)


def drawn() -> Iterator[tuple[str, str]]:
    """(class, parent) of every line of the picture: each level is four characters deep."""
    levels: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.strip(" │├└─").partition(" ")[0]
        if name.endswith("Error"):
            depth = line.index(name) // 4 - 1
            levels[depth:] = [name]
            if depth:
                yield name, levels[depth - 1]


def test_every_error_is_drawn_below_its_parent() -> None:
    tree = {(name, parent) for name, parent in below(errors.PlandayError) if hasattr(errors, name)}
    assert {*drawn()} == tree
