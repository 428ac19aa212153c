"""The privacy policy, applied to values before they reach a frame.

A dropped value is never converted, so it exists only in the answer's bytes. A hash is HMAC-SHA256 over portal id and value,
keyed by the configuration: equal values have equal hashes within one portal and different ones across portals.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from planday_io.config.model import PrivacyPolicy

_STRICTNESS = {"keep": 0, "hash": 1, "drop": 2}


@dataclass(frozen=True, slots=True)
class PrivacyFilter:
    """The policies of one portal, and what reads the key to hash with, called only if something is hashed."""

    policies: PrivacyPolicy
    portal_id: int
    hash_key: Callable[[], str]

    def policy(self, *classes: str) -> str:
        """The strictest policy of several classes."""
        return max((self.policies.policy(name) for name in classes), key=_STRICTNESS.__getitem__)

    def hasher(self) -> Callable[[str], str]:
        """A function from text to its hash, 64 hexadecimal digits."""
        key = self.hash_key().encode()
        prefix = f"{self.portal_id}\0".encode()

        def hashed(text: str) -> str:
            return hmac.new(key, prefix + text.encode(), hashlib.sha256).hexdigest()

        return hashed
