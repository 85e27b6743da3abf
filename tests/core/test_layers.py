"""The floors of the house: an import never runs upwards, there are no circles, and some rooms stay ignorant of others."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: From the ground up. A room may import its own floor's rooms and those below. The longest name that fits decides.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("bench.core",),
    ("bench.types", "bench.registry"),  # the contract of plug-ins: names of the floor below
    ("bench.native",),
    ("bench.machine", "bench.metrics", "bench.stats"),
    ("bench.splat", "bench.geometry", "bench.probe", "registry"),
    ("bench.results",),
    ("bench.run",),
    ("bench.report",),
    ("bench.perf",),
    ("bench", "bench.commands", "bench.cli"),
)
#: What a room may import of the suite, itself apart.
ONLY = {
    "bench.core": (),
    "bench.types": ("bench.core",),
    "bench.registry": ("bench.core",),
    "bench.stats": ("bench.core.cells", "bench.core.text"),
    "bench.metrics": ("bench.core", "bench.native"),
    "bench.splat": ("bench.core", "bench.machine.files", "bench.native", "bench.metrics"),
    "bench.geometry.align": ("bench.core", "bench.native", "bench.geometry"),
}
#: What a room may not import at its top: engines hand work round and know nothing of it; readers of results need no torch.
WITHOUT = {
    "bench": ("torch", "pandas", "numpy"),
    "bench.cli": ("torch", "pandas", "numpy"),
    "bench.core": ("torch", "pandas", "matplotlib"),
    "bench.stats": ("torch", "matplotlib"),
    "bench.run.engines": ("torch", "bench.probe", "bench.geometry", "bench.results"),
    "bench.results": ("torch",),
    "bench.report": ("torch", "open3d", "gsplat", "lpips", "bench.run", "bench.probe"),
}
DRAWS_SPLATS = "bench.report.viewer"  #: renders, for `bench view` alone: no report imports it


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the two packages, by dotted name."""
    found = {}
    for package in ("bench", "registry"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def imports(module: str, *, top_only: bool = False) -> frozenset[str]:
    """What a module imports, by dotted names, less what stands under TYPE_CHECKING. top_only: not inside functions."""
    return frozenset(_imports(ast.parse(modules()[module].read_text(encoding="utf-8")).body, top_only))


def _imports(body: list[ast.stmt], top_only: bool) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if top_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in modules() else node.module
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            children = getattr(node, field, [])
            yield from _imports([child for child in children if isinstance(child, ast.AST)], top_only)  # type: ignore[misc]


def inside(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def floor_of(module: str) -> int:
    fitting = [(len(room), floor) for floor, rooms in enumerate(FLOORS) for room in rooms if inside(module, room)]
    return max(fitting)[1]


def own(module: str, **options: bool) -> list[str]:
    return sorted(name for name in imports(module, **options) if name.split(".")[0] in ("bench", "registry"))


def test_no_import_runs_upwards() -> None:
    upwards = [
        f"{module} imports {name}" for module in modules() for name in own(module) if floor_of(name) > floor_of(module)
    ]
    assert not upwards


def test_the_engine_never_names_a_plug_in() -> None:
    assert not [
        f"{m} imports {name}" for m in modules() if inside(m, "bench") for name in own(m) if inside(name, "registry")
    ]


def test_there_are_no_circles() -> None:
    state: dict[str, int] = {}
    circles: list[str] = []

    def visit(module: str, path: tuple[str, ...]) -> None:
        state[module] = 1
        for name in own(module, top_only=True):
            if state.get(name) == 1 and name != module:
                circles.append(" -> ".join((*path[path.index(name) :], name) if name in path else (module, name)))
            elif name not in state and name in modules():
                visit(name, (*path, name))
        state[module] = 2

    for module in modules():
        if module not in state:
            visit(module, (module,))
    assert not circles


@pytest.mark.parametrize("room", ONLY)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    allowed = (room, *ONLY[room])
    members = [module for module in modules() if inside(module, room)]
    assert members, f"there is no room {room}"
    wrong = [f"{m} imports {n}" for m in members for n in own(m) if not any(inside(n, may) for may in allowed)]
    assert not wrong


@pytest.mark.parametrize("room", WITHOUT)
def test_a_room_stays_without(room: str) -> None:
    exact = room in ("bench", "bench.cli")
    members = [module for module in modules() if (module == room if exact else inside(module, room))]
    members = [module for module in members if not inside(module, DRAWS_SPLATS)]
    assert members, f"there is no room {room}"
    wrong = [
        f"{m} imports {n}" for m in members for n in imports(m, top_only=True) if any(inside(n, no) for no in WITHOUT[room])
    ]
    assert not wrong
