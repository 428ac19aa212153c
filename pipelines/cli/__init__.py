"""The `planday` command."""
