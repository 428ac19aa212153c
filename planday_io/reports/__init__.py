"""Pages about an installation and its tables."""
