"""Classes of models are read for their cards also where the library that they are written with is not installed.

A report, a leaderboard and `bench list` ask classes for names, sizes and training data, not for computation. While plug-ins
are imported, PyTorch is stood in for by modules whose every name is one class: it can be derived from, called, indexed, used
as a decorator and in arithmetic, and does nothing. Afterwards stand-ins and all modules that took something from them are
forgotten, so that whatever computes imports PyTorch, and fails by its name.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

LIBRARY = "torch"
INSTALL = "pip install vfm3d-bench"


class _Kind(type):
    """Attributes and items of the stand-in are the stand-in; what it decorates stays what it is."""

    def __call__(cls, *given: Any, **named: Any) -> Any:
        return given[0] if cls is _StandIn and _is_decoration(given) else super().__call__(*given, **named)

    def __getattr__(cls, name: str) -> type:
        return _named(name)

    def __getitem__(cls, key: object) -> type:
        return cls

    def __or__(cls, other: object) -> Any:
        return cls

    def __ror__(cls, other: object) -> Any:
        return cls


class _StandIn(metaclass=_Kind):
    """Whatever a library holds: a base class, a function, a decorator, a constant."""

    def __init__(self, *given: object, **named: object) -> None:
        pass

    def __call__(self, *given: Any, **named: object) -> Any:
        return given[0] if _is_decoration(given) else self

    def __getattr__(self, name: str) -> type:
        return _named(name)

    def _itself(self, *given: object) -> Any:
        return self

    __getitem__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _itself
    __neg__ = __pow__ = __matmul__ = _itself


def _is_decoration(given: tuple[Any, ...]) -> bool:
    return len(given) == 1 and callable(given[0])


def _named(name: str) -> type:
    if name.startswith("__"):  # what the interpreter asks for: there is none
        raise AttributeError(name)
    return _StandIn


class _Module(ModuleType):
    __version__ = "0"
    __path__: list[str] = []  # noqa: RUF012  (as the interpreter has it)

    def __getattr__(self, name: str) -> type:
        return _named(name)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if _stands_in(name) else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def _stands_in(module: str) -> bool:
    return module.partition(".")[0] == LIBRARY


def is_installed(package: str) -> bool:
    """True where a package can be imported; it is not imported for that."""
    try:
        return package in sys.modules or importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def is_absent() -> bool:
    """True where PyTorch is not installed."""
    return not is_installed(LIBRARY)


@contextmanager
def cards_can_be_read() -> Iterator[None]:
    """Imports within succeed without PyTorch, as far as they define classes; nothing changes where it is installed."""
    if not is_absent():
        yield
        return
    finder, before = _Finder(), {*sys.modules}
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in {*sys.modules} - before:
            if _stands_in(name) or any(map(_is_stand_in, [*getattr(sys.modules[name], "__dict__", {}).values()])):
                del sys.modules[name]


def _is_stand_in(value: object) -> bool:
    # A tuple: of types that answer "|" with themselves there is no union.
    return isinstance(value, (_Module, _StandIn)) or (isinstance(value, type) and issubclass(value, _StandIn))
