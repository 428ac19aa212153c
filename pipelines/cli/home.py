"""The settings files of a Dagster home: from the checkout, or from the installed wheel."""

from __future__ import annotations

from pathlib import Path


def packaged(name: str) -> Path:
    """Where `dagster.yaml` or `workspace.yaml` of this version is."""
    package = Path(__file__).resolve().parents[1]
    folder = package / "home"
    return (folder if folder.exists() else package.parent) / name
