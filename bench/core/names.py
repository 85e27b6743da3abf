"""A model's name as a value: `dino`, `dino+iuvrgb`, `dino@jbu`, `dinov2:L`, `dinov2@layer=8`, `aliked@untrained`.

    name      = part ("+" part)*             joined features, in the order of the concatenation
    part      = base [":" size] ["@" item]*  base: what a plug-in registered; size: one of its family
    item      = variant | parameters         variant: a word, "jbu" or "untrained"
    parameters = key "=" value ("," key "=" value)*

A name is written in one way only: parameters first, sorted by key, then the variants, sorted. So equal models have equal
names, keys and rows. Which bases, sizes and variants exist is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.core.errors import UserError

Names = str | Sequence[str]  #: one text with commas, or a sequence of names
JOINED = "+"
UNTRAINED = "untrained"  #: the variant of a model whose network keeps its random initial weights
ANY = "*"  #: stands for every size, or every value of a parameter, where models are selected

BASE_PATTERN = r"[a-z0-9][a-z0-9.-]*"
_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_VALUE = rf"(?:{_WORD}|\{ANY})"
_PARAMETER = re.compile(rf"([a-z][a-z0-9_]*)=({_VALUE})")
_PART = re.compile(rf"(?P<base>{BASE_PATTERN})(?::(?P<size>{_VALUE}))?(?P<items>(?:@[^@+:]+)*)")
_CONTINUED = re.compile(r"[a-z][a-z0-9_]*=")


@dataclass(frozen=True, order=True)
class Part:
    """One model of a name.

    Attributes:
        base: The name that a plug-in registered.
        size: The member of a family ("L"); "" for its default.
        parameters: (key, value) pairs, sorted by key: ("layer", "8").
        variants: Words after "@", sorted: "jbu" (upsampled), "untrained".
    """

    base: str
    size: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    variants: tuple[str, ...] = ()

    def __str__(self) -> str:
        size = f":{self.size}" if self.size else ""
        parameters = "@" + ",".join(f"{key}={value}" for key, value in self.parameters) if self.parameters else ""
        return f"{self.base}{size}{parameters}{''.join(f'@{variant}' for variant in self.variants)}"

    @property
    def model(self) -> Part:
        """The same without what is done to its features: what is loaded."""
        return replace(self, variants=(UNTRAINED,) if self.untrained else ())

    def with_variant(self, variant: str) -> Part:
        """The same with one more variant."""
        return replace(self, variants=tuple(sorted({*self.variants, variant})))

    def without(self, variant: str) -> Part:
        """The same without a variant."""
        return replace(self, variants=tuple(each for each in self.variants if each != variant))

    @property
    def untrained(self) -> bool:
        return UNTRAINED in self.variants

    @property
    def is_pattern(self) -> bool:
        """True where the part selects several models: `dinov2:*`, `dinov2@layer=*`."""
        return ANY in (self.size, *(value for _, value in self.parameters))


@dataclass(frozen=True, order=True)
class ModelName:
    """The name of a model or of joined features."""

    parts: tuple[Part, ...]

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """The name that a text says.

        Args:
            text: As on the command line or in a row.

        Returns:
            The name; `str` of it is the canonical text.

        Raises:
            UserError: For an empty, malformed or repeated part, naming it.

        Example:
            >>> str(ModelName.parse("sd@t=261,block=2@jbu+iuvrgb"))
            'sd@block=2,t=261@jbu+iuvrgb'
        """
        parts = tuple(_part(part, text) for part in text.split(JOINED))
        if len(set(parts)) != len(parts):
            raise UserError(f"features {text!r}: each provider can stand only once in a concatenation")
        return cls(parts)

    def __str__(self) -> str:
        return JOINED.join(map(str, self.parts))

    @property
    def is_joined(self) -> bool:
        return len(self.parts) > 1

    @property
    def is_plain(self) -> bool:
        """True for the registered name alone: one part, nothing after it."""
        return self.parts == (Part(self.parts[0].base),)

    @property
    def bases(self) -> tuple[str, ...]:
        """The registered name of each part."""
        return tuple(part.base for part in self.parts)

    @property
    def trained(self) -> ModelName:
        """The same name with no part untrained: the model that an untrained twin stands beside."""
        return ModelName(tuple(part.without(UNTRAINED) for part in self.parts))

    @property
    def untrained(self) -> bool:
        """True where a part is an untrained twin."""
        return any(part.untrained for part in self.parts)


def split_names(text: str) -> list[str]:
    """The names in a list with commas; a comma inside parameters does not part names.

    Example:
        >>> split_names("dino,sd@t=261,block=2+iuvrgb,moge")
        ['dino', 'sd@t=261,block=2+iuvrgb', 'moge']
    """
    names: list[str] = []
    for piece in text.split(","):
        if names and _CONTINUED.match(piece.strip()) and "=" in names[-1].rpartition("@")[2]:
            names[-1] += f",{piece.strip()}"
        elif piece.strip():
            names.append(piece.strip())
    return names


def names_in(names: Names) -> tuple[str, ...]:
    """The names in a text with commas or in a sequence, each once."""
    return tuple(dict.fromkeys(split_names(names) if isinstance(names, str) else names))


def _part(text: str, whole: str) -> Part:
    if not text:
        raise UserError(f"features {whole!r}: a name is missing; concatenation is written a+b")
    found = _PART.fullmatch(text)
    if found is None:
        raise UserError(f"model {text!r}: a name is written base, base:size, base@variant or base@key=value, joined by '+'")
    parameters: dict[str, str] = {}
    variants: list[str] = []
    for item in found["items"].split("@")[1:]:
        if "=" not in item:
            if not re.fullmatch(_WORD, item):
                raise UserError(f"model {text!r}: {item!r} is no variant (letters, digits, '.', '_', '-')")
            variants.append(item)
            continue
        for pair in item.split(","):
            parameter = _PARAMETER.fullmatch(pair.strip())
            if parameter is None:
                raise UserError(f"model {text!r}: {pair!r} is not written key=value")
            if parameter[1] in parameters:
                raise UserError(f"model {text!r}: {parameter[1]} is given twice")
            parameters[parameter[1]] = parameter[2]
    return Part(found["base"], found["size"] or "", tuple(sorted(parameters.items())), tuple(sorted(set(variants))))
