"""`warehouse.duckdb`: a publication of the lake that analysts may keep open all day."""

from __future__ import annotations

from planday_io.catalogue import Catalogue
from planday_io.config.model import Config
from planday_io.lake.slices import Lake
from planday_io.state import State
from planday_io.warehouse.publish import Publication, publish

__all__ = ["Publication", "publish", "publish_from"]


def publish_from(
    config: Config,
    catalogue: Catalogue,
    *,
    rebuild: bool = False,
    compare_all: bool = False,
    forgetting: bool = False,
    removed_portal: str = "",
) -> Publication:
    """Bring the warehouse of an installation up to date with its lake. See `publish`. Raises PublicationError."""
    return publish(
        Lake(config.lake, State(config.state)),
        config.warehouse,
        catalogue=catalogue,
        policies=config.privacy,
        rebuild=rebuild,
        compare_all=compare_all,
        forgetting=forgetting,
        removed_portal=removed_portal,
    )
