"""What an installation remembers between runs, beside the lake and the warehouse."""
