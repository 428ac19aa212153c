"""Dagster over `planday_io`: assets, schedules, sensors, and the commands that run them. No HTTP, no frames, no SQL."""
