"""Connecting portals, checking what they may read, and renaming them."""
