"""What is wrong, and who is told of it.

failures (notes of runs) ─┐
freshness (the lake)      ├─► incidents ─► book: compared with those that are open ─► messages ─► channels
publication, disk         ┘
"""
