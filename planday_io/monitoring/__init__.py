"""What is wrong, and who is notified of it.

recorded failures         ─┐
freshness (the lake)       ├─► incidents ─► notifier: compared with what is stored ─► messages ─► channels
publication, disk, files  ─┘
"""
