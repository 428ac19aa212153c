"""A clock that tests set, and requests sent by it."""

from __future__ import annotations

from planday_io.client.budget import RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def sends(budgets: list[RateLimiter], clock: Clock, count: int) -> list[float]:
    """Instants at which `count` requests went out, handles taking turns."""
    sent: list[float] = []
    while len(sent) < count:
        wait = budgets[len(sent) % len(budgets)].reserve()
        if wait > 0:
            clock.now += wait
        else:
            sent.append(clock.now)
    return sent
