"""What several test modules share: commands, faults, builders, judges."""
