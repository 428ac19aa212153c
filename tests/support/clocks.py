"""A clock that tests set, and requests sent by it."""

from __future__ import annotations

from planday_io.client.budget import Budget


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def sends(budgets: list[Budget], clock: Clock, count: int) -> list[float]:
    """Instants at which `count` requests went out, handles taking turns."""
    sent: list[float] = []
    while len(sent) < count:
        wait = budgets[len(sent) % len(budgets)].take()
        if wait > 0:
            clock.now += wait
        else:
            sent.append(clock.now)
    return sent
