"""Taking people out of everything that is kept."""
