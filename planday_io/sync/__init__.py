"""One portal at a time from the API into the lake."""
