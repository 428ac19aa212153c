"""The Parquet lake, the record of everything that was read: one file per slice, complete or absent."""
