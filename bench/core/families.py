"""Families: one class for several sizes of a network, and for what a name may set after "@" (`dinov2:L@layer=18`).

A member of a family is a class like any other, derived from the registered one: its card says what its size and its settings
make of it, so that nothing else in the suite needs to know of families. So is a model's untrained twin (`dinov2@untrained`):
the same network with seeded random weights, whatever the others of a run have.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from bench.core.errors import UserError
from bench.core.names import ANY, Part

F = TypeVar("F", bound="Family")


@dataclass(frozen=True)
class Size:
    """One size of a family: a line of its table.

    Attributes:
        arch: As on the card, "ViT-L/14".
        channels: Width of its features.
        depth: How many blocks (or stages) it has, of which a feature may be read.
        parameters: In millions.
        architecture: What its library calls it.
        stride: Pixels a token; 0 where it is the family's.
        weights: Where they come from; "" where the family's card gives a pattern with {architecture}.
        license: "" where it is the family's.
        revision: What pins this size's weights (bench.core.interfaces.Card.revision); "" where they are not pinned.
    """

    arch: str
    channels: int
    depth: int
    parameters: float
    architecture: str = ""
    stride: int = 0
    weights: str = ""
    license: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Setting:
    """What a name may set: `layer=18`. values: those that there are. default: the one that a plain name has."""

    values: Sequence[int]
    default: int


class Family:
    """What a model's class says of its sizes and settings; one that has neither says nothing.

    A family gives `sizes` and `default_size`, and its card what all sizes share; `{architecture}` in the card's weights
    stands for what the library calls the network. The class itself is the default size.

    Attributes:
        sizes: The family's table, by the name of the size.
        default_size: The one that the plain name means.
        size: This class's.
        architecture: What its library calls the network.
        family_card: The card as the family wrote it.
        settings: What this class has set that a plain name has not.
        untrained: True for the twin that keeps its random initial weights.

    Example:
        >>> class Net(Family):
        ...     card = Card(name="Net", stride=16, weights="hf:timm/{architecture}")
        ...     sizes = {"S": Size("ViT-S/16", 384, 12, 22.0, "net_small"), "B": Size("ViT-B/16", 768, 12, 86.0, "net_base")}
        ...     default_size = "B"
    """

    card: ClassVar[Any]
    sizes: ClassVar[Mapping[str, Size]] = MappingProxyType({})
    default_size: ClassVar[str] = ""
    size: ClassVar[str] = ""
    architecture: ClassVar[str] = ""
    family_card: ClassVar[Any] = None
    settings: ClassVar[Mapping[str, int]] = MappingProxyType({})
    untrained: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = vars(cls)
        # A size's class comes with its own size; one that leaves the card to those derived from it is no family yet.
        if cls.sizes and hasattr(cls, "card") and ("sizes" in own or "card" in own) and "size" not in own:
            cls.family_card = cls.card
            for name, value in _in_size(cls, cls.default_size).items():
                setattr(cls, name, value)

    @classmethod
    def offers(cls) -> Mapping[str, Setting]:
        """What a name may set after "@" for this size."""
        return {}

    @classmethod
    def tapped(cls, card: Any) -> Any:
        """The card under this class's settings, where these change channels or stride."""
        return card

    @classmethod
    def setting(cls, name: str) -> int:
        """What is set, else the default."""
        return cls.settings[name] if name in cls.settings else cls.offers()[name].default


def _in_size(cls: type[Family], size: str) -> dict[str, Any]:
    """What of a class changes with its size: its card, and what its library calls the network."""
    chosen, card = cls.sizes[size], cls.family_card
    weights = chosen.weights or card.weights.format(architecture=chosen.architecture)
    sized = replace(
        card,
        name=card.name if size == cls.default_size else f"{card.name} {size}",
        arch=chosen.arch,
        channels=chosen.channels,
        parameters=chosen.parameters,
        stride=chosen.stride or card.stride,
        license=chosen.license or card.license,
        weights=weights,
        revision=chosen.revision or card.revision,
    )
    return {"card": sized, "architecture": chosen.architecture, "size": size}


def member(cls: type[F], part: Part) -> type[F]:
    """The class that a name's size, parameters and `untrained` mean.

    Args:
        cls: What is registered under the part's base.
        part: A part of a name; what is done to its features does not matter.

    Returns:
        cls itself where the part names its defaults.

    Raises:
        UserError: For a size or a setting that the family does not have, naming those that it has, and for the untrained
            twin of what was never trained.
    """
    part = canonical(cls, part)
    family: Any = cls
    if not (part.size or part.parameters or part.untrained):
        return cls
    found: type[F] = _member(family, part.size, part.parameters, part.untrained)
    return found


@functools.cache
def _member(cls: Any, size: str, parameters: tuple[tuple[str, str], ...], untrained: bool = False) -> Any:
    common = {"__module__": cls.__module__, "__doc__": cls.__doc__, "__qualname__": cls.__qualname__}
    found: Any = type(cls.__name__, (cls,), common | (_in_size(cls, size) if size else {}))
    if parameters:
        settings = {key: int(value) for key, value in parameters}
        said = ", ".join(f"{key} {value}" for key, value in settings.items())
        found.settings = MappingProxyType({**found.settings, **settings})
        card = found.tapped(found.card)
        found.card = replace(card, name=f"{card.name}, {said}")
    if untrained:
        found.untrained = True
        found.card = replace(found.card, name=f"{found.card.name}, untrained")
    return found


def canonical(cls: type[Family], part: Part) -> Part:
    """The part without a size or settings that are the defaults: equal models have one name.

    Raises:
        UserError: As `member` does.
    """
    if part.size and part.size not in cls.sizes:
        raise UserError(_unknown(part, "size", part.size, list(cls.sizes)))
    family: Any = cls
    sized = _member(family, part.size, ()) if part.size and part.size != cls.default_size else cls
    offered = sized.offers()
    kept = []
    for key, value in part.parameters:
        if key not in offered:
            raise UserError(_unknown(part, "setting", key, list(offered)))
        setting = offered[key]
        if not value.isdecimal() or int(value) not in setting.values:
            raise UserError(f"model {part}: {key} is one of {told(setting.values)}, not {value}")
        if int(value) != setting.default:
            kept.append((key, str(int(value))))
    if part.untrained and not cls.card.weights:
        raise UserError(f"model {part}: {part.base} has no trained weights, so no untrained twin")
    return replace(part, size="" if part.size == cls.default_size else part.size, parameters=tuple(kept))


def expanded(cls: type[Family], part: Part) -> list[Part]:
    """All parts that a pattern stands for: `dinov2:*` each size, `dinov2@layer=*` each layer, in the family's order.

    Raises:
        UserError: As `member` does, and where the family has no sizes to stand for.
    """
    if part.size == ANY and not cls.sizes:
        raise UserError(_unknown(part, "size", ANY, []))
    found: list[Part] = []
    for size in cls.sizes if part.size == ANY else (part.size,):
        sized = member(cls, Part(part.base, size))
        offered, choices = sized.offers(), []
        for key, value in part.parameters:
            if key not in offered:
                raise UserError(_unknown(part, "setting", key, list(offered)))
            choices.append([(key, str(each)) for each in (offered[key].values if value == ANY else [value])])
        found += [canonical(cls, replace(part, size=size, parameters=pairs)) for pairs in product(*choices)]
    return list(dict.fromkeys(found))


def _unknown(part: Part, kind: str, asked: str, known: list[str]) -> str:
    if not known:
        return f"model {part}: {part.base} has no {kind}s to choose from"
    near = difflib.get_close_matches(asked, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"model {part}: {part.base} has no {kind} {asked!r}; {hint}there is {', '.join(known)}"


def told(values: Sequence[int]) -> str:
    """Numbers as messages give them: "1 to 12", "0, 1, 2"."""
    numbers = list(values)
    if len(numbers) > 3 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))
