"""The library never imports dagster, layers import downwards only, and there is no circle."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]

LAYERS = (
    ("errors", "months", "restriction", "texts"),
    ("catalogue", "config_file", "files", "faults", "documents"),
    ("config", "state"),
    ("client", "frames"),
    ("lake", "reading"),
    ("warehouse",),
    ("sync", "monitoring"),
    ("assistant", "export", "privacy", "onboarding", "reports"),
    ("delivery", "backup"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names} | {"__init__": len(LAYERS)}

STRANGERS = {
    "duckdb",
    "httpx",
    "numpy",
    "pandas",
    "prometheus_client",
    "pyarrow",
    "sqlalchemy",
    "sqlite3",
    "xlsxwriter",
}
"""What only the library speaks."""


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(_targets(node.module, [alias.name for alias in node.names]))
    return found


def _targets(module: str, names: list[str]) -> list[str]:
    """`from package import module` imports the module, `from module import name` the module it stands in."""
    folder = ROOT.joinpath(*module.split("."))
    return [f"{module}.{name}" if (folder / f"{name}.py").exists() else module for name in names]


@cache
def modules(package: str) -> dict[str, set[str]]:
    names = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        names[dotted] = imports(path)
    return names


def part(module: str) -> str:
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else "__init__"


def test_the_library_never_imports_dagster_or_the_pipelines() -> None:
    for module, imported in modules("planday_io").items():
        assert not [name for name in imported if name.split(".")[0] in ("dagster", "pipelines")], module


def test_layers_import_downwards() -> None:
    for module, imported in modules("planday_io").items():
        if part(module) == "sandbox":
            continue
        for name in imported:
            if name.startswith("planday_io") and part(name) != part(module):
                assert LEVEL[part(name)] < LEVEL[part(module)], f"{module} imports {name}, which is no lower layer"


def test_the_sandbox_knows_nothing_of_the_pipeline() -> None:
    for module, imported in modules("planday_io.sandbox".replace(".", "/")).items():
        strangers = [
            n for n in imported if n.startswith("planday_io") and part(n) not in ("sandbox", "errors", "months")
        ]
        assert not strangers, module


def test_there_is_no_circle() -> None:
    graph = {**modules("planday_io"), **modules("pipelines")}
    edges = {module: {name for name in imported if name in graph} for module, imported in graph.items()}
    # Raises CycleError, which names the circle.
    assert len([*TopologicalSorter(edges).static_order()]) == len(graph)


def test_pipelines_speak_dagster_only() -> None:
    """Dagster's storage is made of SQLAlchemy and SQLite, so the modules that derive from it and read its files are."""
    for module, imported in modules("pipelines").items():
        strangers = {name.split(".")[0] for name in imported} & STRANGERS
        assert not strangers or module in {"pipelines.storage", "pipelines.dagster_files"}, module


def test_the_linter_forbids_the_same() -> None:
    banned = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["flake8-tidy-imports"]
    assert {*banned["banned-api"]} == STRANGERS


def test_no_test_imports_a_test_module() -> None:
    """What tests share stands in `tests/support`."""
    for module, imported in modules("tests").items():
        assert not [name for name in imported if name.startswith(("tests.test_", "tests.conftest"))], module


def test_only_the_state_room_knows_its_names() -> None:
    paths = [*(ROOT / "planday_io").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]
    for path in paths:
        if path.parent.name not in ("state", "config"):
            # A path made from the folder, whatever the folder is called there.
            found = re.search(r"\.planday/|state(\.folder)? ?/|Locks\(|FileLock\(", path.read_text())
            assert found is None or path.name == "files.py", f"{path}: {found}"
