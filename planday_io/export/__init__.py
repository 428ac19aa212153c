"""Exports of the published file: marts and queries as Excel or CSV for people, everything as Parquet for programs."""
