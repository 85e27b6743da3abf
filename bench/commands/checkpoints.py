"""`--checkpoint NAME=PATH`: weights of a model from a local file or folder, in place of its publisher's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.core.errors import UserError
from bench.core.names import ModelName
from bench.core.registry import estimators, features, pointmaps


def checkpoints(texts: Sequence[str]) -> tuple[tuple[str, Path], ...]:
    """The option's values, as (model name, absolute path).

    Raises UserError for another form, a name that no model has or that stands twice, a model without weights, or a path
    where nothing lies.
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, _, file = text.partition("=")
        if not name or not file:
            raise UserError(f"--checkpoint {text}: write NAME=PATH")
        classes = [registry[name] for registry in (features, estimators, pointmaps) if name in registry]
        if not classes:
            raise UserError(f"--checkpoint {text}: no model is named {name!r}; `bench list models` shows them all")
        if not any(cls.card.weights for cls in classes):
            raise UserError(f"--checkpoint {text}: {name} has no weights that a file could stand in for")
        name = str(features.current(ModelName.parse(name).parts[0]))
        if name in found:
            raise UserError(f"--checkpoint {text}: {name} is given twice")
        if not Path(file).exists():
            raise UserError(f"--checkpoint {text}: there is no file {file}")
        found[name] = Path(file).resolve()
    return tuple(found.items())
