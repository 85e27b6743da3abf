"""Registries: names on one side, plug-in classes on the other.

A plug-in module registers its classes with a decorator when it is imported. Modules are found through the entry point group
`bench.plugins` (a module or a package whose sub-modules are all imported) and through `--plugin FILE_OR_MODULE`. One that
fails to import is kept with its reason and breaks nothing else.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from bench.core.absent import cards_can_be_read
from bench.core.cells import INSTANTSPLAT
from bench.core.errors import UserError
from bench.core.families import Family, member
from bench.core.interfaces import Dataset, FeatureProvider, GeometryEstimator, PointmapInitialiser
from bench.core.names import BASE_PATTERN, ModelName, Part

T = TypeVar("T")
ENTRY_POINT_GROUP = "bench.plugins"
NAME = re.compile(BASE_PATTERN)


class Registry(Generic[T]):
    """A typed mapping from lower-case names to classes, filled by the decorator `register`."""

    def __init__(self, kind: str, base: type[Any]) -> None:
        self.kind = kind
        self.base = base
        self._classes: dict[str, type[T]] = {}
        self._former: dict[str, Part] = {}

    def register(self, name: str, former: Mapping[str, str] = MappingProxyType({})) -> Callable[[type[T]], type[T]]:
        """Class decorator.

        Args:
            name: What the class is called from now on.
            former: Names under which rows may hold sizes of it, each with the size. They lead to it, are not listed, and
                nothing else can be registered under them.

        Raises:
            UserError: For a malformed or taken name, or a class that is no `base`, lacks a card or a method of its kind.
        """

        def add(cls: type[T]) -> type[T]:
            if not NAME.fullmatch(name):
                raise UserError(f"{self.kind} name {name!r}: use lower-case letters, digits, '-' and '.' ('+' joins two)")
            if name == INSTANTSPLAT:
                raise UserError(
                    f"{self.kind} name {name!r}: it is taken, rows call the probe's baseline so; use another name"
                )
            if not (isinstance(cls, type) and issubclass(cls, self.base)):
                raise UserError(f"{self.kind} {name!r}: {cls!r} must be a class derived from {self.base.__name__}")
            if not hasattr(cls, "card"):
                raise UserError(f"{self.kind} {name!r}: class {cls.__name__} lacks the attribute `card`")
            lacking = sorted(getattr(cls, "__abstractmethods__", ())) + _lacking_loaders(cls)
            if lacking:
                raise UserError(
                    f"{self.kind} {name!r}: can't register abstract class {cls.__name__} without an implementation for "
                    f"abstract method{'s' if len(lacking) > 1 else ''} {', '.join(map(repr, lacking))}"
                )
            held = self._classes.get(name)
            if held is not None and _origin(held) != _origin(cls):
                raise UserError(f"{self.kind} {name!r} is registered twice: by {_origin(held)} and by {_origin(cls)}")
            if name in self._former:
                raise UserError(
                    f"{self.kind} name {name!r}: it is taken, {self._former[name]} was called so; use another name"
                )
            for old in former:
                led = self._former.get(old)
                if old in (name, *self._classes) or (led is not None and led.base != name):
                    raise UserError(f"{self.kind} {name!r}: the former name {old!r} is taken; leave it out")
            self._classes[name] = cls
            self._former |= {old: Part(name, size) for old, size in former.items()}
            return cls

        return add

    def current(self, part: Part) -> Part:
        """The part under the name that it is registered by today."""
        discover()
        today = None if part.size else self._former.get(part.base)
        return part if today is None else replace(part, base=today.base, size=today.size)

    def __getitem__(self, name: str) -> type[T]:
        """The class of a name; a size and settings after it (`dinov2:L@layer=18`) give that member of its family, and
        `@untrained` the twin that keeps its random initial weights.

        Raises:
            UserError: For a name, a size or a setting that there is not.
        """
        discover()
        if name in self._classes:
            return self._classes[name]
        part = _part_of(name) if issubclass(self.base, Family) else None  # data sets have neither sizes nor settings
        today = None if part is None else self.current(part)
        if today is not None and today.base in self._classes:
            return member(self._classes[today.base], today)  # type: ignore[type-var]
        near = difflib.get_close_matches(name, self._classes, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(self._classes))}"
        raise UserError(f"no {self.kind} is named {name!r}; {hint}")

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and self[name] is not None
        except UserError:
            return False

    def __iter__(self) -> Iterator[str]:
        discover()
        return iter(sorted(self._classes))

    def __len__(self) -> int:
        discover()
        return len(self._classes)


def _lacking_loaders(cls: type) -> list[str]:
    """The loaders that a data set of these tracks needs and does not give."""
    if not issubclass(cls, Dataset):
        return []
    inherited = {"probe": ("load_scene", Dataset.load_scene), "geometry": ("load_sample", Dataset.load_sample)}
    found = (inherited[track] for track in cls.tracks)
    return [name for name, method in found if getattr(cls, name) is method]


def _part_of(name: str) -> Part | None:
    """The one part of a name, if nothing is done to its features; None for all other names, also malformed ones."""
    try:
        parts = ModelName.parse(name).parts
    except UserError:
        return None
    return parts[0] if len(parts) == 1 and parts[0] == parts[0].model else None


def _origin(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


features: Registry[FeatureProvider] = Registry("feature provider", FeatureProvider)
estimators: Registry[GeometryEstimator] = Registry("geometry estimator", GeometryEstimator)
pointmaps: Registry[PointmapInitialiser] = Registry("point-map initialiser", PointmapInitialiser)
datasets: Registry[Dataset] = Registry("dataset", Dataset)


def find_datasets(root: Path | None) -> None:
    """Register the data sets that lie under the data root by names of their own (`Dataset.found_under`); a name that is
    taken stays what it is."""
    for kind in list(datasets):
        for name, cls in datasets[kind].found_under(root).items():
            if name not in datasets:
                datasets.register(name)(cls)


@dataclass(frozen=True)
class BrokenPlugin:
    """A plug-in module that did not import, and why."""

    module: str
    reason: str


_broken: dict[str, BrokenPlugin] = {}
_discovered = False


def broken_plugins() -> list[BrokenPlugin]:
    """The plug-ins that did not import, by module name."""
    discover()
    return [_broken[name] for name in sorted(_broken)]


def is_loaded() -> bool:
    """True where plug-ins have been looked for in this process, or a class was registered without that."""
    return _discovered or any(registry._classes for registry in (features, estimators, pointmaps, datasets))


def discover() -> None:
    """Import every installed plug-in, once. Never raises: what fails is listed by `broken_plugins`."""
    global _discovered
    if _discovered:
        return
    _discovered = True
    with cards_can_be_read():
        for entry in entry_points(group=ENTRY_POINT_GROUP):
            _import_tree(entry.value)


def _import_tree(module_name: str) -> None:
    """Import a module and, where it is a package, all its public sub-modules."""
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a plug-in may raise anything
        _broken[module_name] = BrokenPlugin(module_name, _reason(error))
        return
    for found in pkgutil.iter_modules(getattr(module, "__path__", []), prefix=f"{module_name}."):
        if not found.name.rpartition(".")[2].startswith("_"):
            _import_tree(found.name)


def load_plugin(file_or_module: str) -> None:
    """Import a user's plug-in: a Python file or a module name. Raises UserError with the reason where that fails."""
    discover()
    try:
        with cards_can_be_read():
            _import_plugin(file_or_module)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"plug-in {file_or_module}: {_reason(error)}") from error


def _import_plugin(file_or_module: str) -> None:
    path = Path(file_or_module)
    if path.suffix != ".py":
        importlib.import_module(file_or_module)
        return
    name = f"bench_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def _reason(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)
    last = f" ({Path(where[-1].filename).name}:{where[-1].lineno})" if where else ""
    return f"{type(error).__name__}: {error}{last}"
