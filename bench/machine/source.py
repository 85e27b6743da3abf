"""What a plug-in class runs: the files of its modules, of its bases and of every helper that these import.

Imports are read from the source, those inside functions included, and nothing is imported here. Followed are the modules of
the class's own top-level package and whatever else lies outside of Python's library and its site-packages; this suite's own
code counts by NUMERICS_VERSION, installed libraries by their versions.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.machinery
import inspect
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

#: Where edits are told by NUMERICS_VERSION (the suite's own helpers) or by a package's version, not by the source.
_VERSIONED = frozenset({"bench", "torch", *sys.stdlib_module_names})
_INSTALLED = tuple(Path(path).resolve() for name, path in sysconfig.get_paths().items() if name in ("purelib", "platlib"))


@functools.cache
def source_digest(cls: type) -> str:
    """What identifies the code of a class.

    Args:
        cls: A plug-in class.

    Returns:
        sha256 over the names and the contents of the files that `source_files` finds. A module without a file counts by the
        source of the class, or by the class's name where that is not known either.
    """
    sha = hashlib.sha256()
    for name, file in source_files(cls).items():
        sha.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    for base in _own_bases(cls):
        if _file(base.__module__) is None:
            sha.update(_source(base))
    return sha.hexdigest()


def source_files(cls: type) -> dict[str, Path]:
    """The files that a class runs, by the name of their module, sorted by name."""
    starts = {base.__module__ for base in _own_bases(cls)}
    own = {name.partition(".")[0] for name in starts}
    found: dict[str, Path] = {}
    waiting = sorted(starts)
    while waiting:
        name = waiting.pop()
        file = _file(name)
        if name in found or file is None:
            continue
        found[name] = file
        parents = [name.rpartition(".")[0]] if "." in name else []
        text = file.read_bytes()
        is_package = file.name == "__init__.py"
        waiting += [each for each in (*parents, *_imports(text, name, is_package)) if _is_followed(each, own)]
    return dict(sorted(found.items()))


def _own_bases(cls: type) -> list[type]:
    return [base for base in cls.__mro__ if base.__module__.partition(".")[0] not in _VERSIONED]


def _is_followed(name: str, own: set[str]) -> bool:
    top = name.partition(".")[0]
    if top in _VERSIONED:
        return False
    file = _file(top)
    return top in own or (file is not None and not any(file.resolve().is_relative_to(place) for place in _INSTALLED))


@functools.lru_cache(maxsize=4096)
def _imports(text: bytes, name: str, is_package: bool) -> tuple[str, ...]:
    """The modules that a source may import. `from a import b` names both a and a.b, which may be one."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ()
    package = name if is_package else name.rpartition(".")[0]
    return tuple(dict.fromkeys(each for node in ast.walk(tree) for each in _named(node, package)))


def _named(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".")
        above = parts[: len(parts) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
            yield node.args[0].value


def _file(name: str) -> Path | None:
    """The source file of a module, loaded or not; None where there is none. Nothing is imported."""
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded:
        return Path(loaded) if loaded.endswith(".py") and Path(loaded).is_file() else None
    path: Sequence[str] | None = None
    spec = None
    for depth in range(1, name.count(".") + 2):
        part = ".".join(name.split(".")[:depth])
        module = sys.modules.get(part)
        spec = getattr(module, "__spec__", None) or importlib.machinery.PathFinder.find_spec(part, path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
        if path is None and part != name:
            return None
    origin = spec.origin if spec is not None else None
    return Path(origin) if origin and origin.endswith(".py") and Path(origin).is_file() else None


def _source(cls: type) -> bytes:
    try:
        return hashlib.sha256(inspect.getsource(cls).encode()).digest()
    except (OSError, TypeError):
        return f"{cls.__module__}.{cls.__qualname__}".encode()
