"""Load the definitions of the portals.yaml here. Prints the seconds of `import dagster`, and those beyond."""

from __future__ import annotations

import sys
import time


def main() -> None:
    """Load once. Imports are inside, because they are what is timed."""
    began = time.perf_counter()
    import dagster  # noqa: F401

    loaded = time.perf_counter()
    from pathlib import Path

    from pipelines.definitions import build_definitions

    build_definitions(Path("portals.yaml")).get_repository_def()
    sys.stdout.write(f"{loaded - began} {time.perf_counter() - loaded}\n")


if __name__ == "__main__":
    main()
