"""The Parquet lake: the record of what was read. One file per slice, whole or not there."""
