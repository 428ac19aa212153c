"""What is wrong, and who is told of it.

failures (notes of runs) ─┐
freshness (the lake)      ├─► incidents ─► book: compared with those that are open ─► messages ─► channels
publication, disk         ┘
"""

from planday_io.alerts.book import AlertBook, Look, send_test
from planday_io.alerts.incidents import Incident

__all__ = ["AlertBook", "Incident", "Look", "send_test"]
