"""How the plug-in packages lean on each other: on support and networks, never on a sister, never through a private door."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import registry

ROOT = Path(registry.__file__).parent
MAY_IMPORT = {
    "support": set(),
    "networks": {"support"},
    "features": {"support", "networks"},
    "estimators": {"support", "networks"},
    "pointmaps": {"support", "networks"},
}


def _imports(file: Path) -> set[str]:
    """The modules of this package that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("registry."):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("registry.")}
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_lean_on_support_and_networks_alone(package: str) -> None:
    files = [*(ROOT / package).rglob("*.py")]
    assert len(files) > 1
    for file in files:
        for name in _imports(file):
            parts = name.split(".")
            assert parts[1] in {package, *MAY_IMPORT[package]}, f"{file.name} imports {name}"
            assert not any(part.startswith("_") for part in parts), f"{file.name} imports the private {name}"
