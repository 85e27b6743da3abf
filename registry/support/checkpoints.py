"""Checkpoints: reading them, renaming official keys to timm's, and loading all of them or nothing."""

from __future__ import annotations

import argparse
import ast
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.core.text import listed
from bench.machine.tensors import Inert, read_content, unreadable
from bench.types import Unavailable, UserError

State = dict[str, Tensor]
#: What publishers wrap a state dictionary in. Where RADIO's file has an averaged state, its code takes that one; beside
#: LeReS's depth network lie two that are not run here; "extractor" is DISK's,
#: "target_encoder" what I-JEPA's authors evaluate, "encoder" MUSt3R's, beside its decoder.
_WRAPPERS = (
    "state_dict_ema",
    "state_dict",
    "model_state_dict",
    "model",
    "depth_model",
    "extractor",
    "target_encoder",
    "encoder",
)
_LISTED = 5
#: What a text may consist of that only builds objects of known classes from literals.
_PLAIN = (
    ast.Expression,
    ast.Call,
    ast.keyword,
    ast.Name,
    ast.Load,
    ast.Tuple,
    ast.List,
    ast.UnaryOp,
    ast.USub,
)
#: A string in such a text: names and sizes.
_WORD = re.compile(r"[A-Za-z0-9_.:+-]*")


def read_state(path: Path) -> State:
    """The tensors of a checkpoint file. Raises as `read_checkpoint` and `tensors_of` do."""
    return tensors_of(read_checkpoint(path), path)


def read_checkpoint(path: Path) -> Any:
    """What a checkpoint file holds, safetensors or PyTorch's format (read without running any code from it).

    Raises Unavailable where the file is not there, UserError where it cannot be read.
    """
    if not path.is_file():
        raise Unavailable(f"no checkpoint file at {path}")
    return _tensors(path) if path.suffix == ".safetensors" else read_content(path)


def tensors_of(content: Any, path: Path) -> State:
    """The named tensors in what a checkpoint file holds, out of what publishers wrap them in. Raises UserError for none."""
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    items = content.items() if isinstance(content, Mapping) else ()
    tensors = {key: value for key, value in items if isinstance(key, str) and isinstance(value, Tensor)}
    if not tensors:
        kind = "an object of a class that is not known" if isinstance(content, Inert) else f"a {type(content).__name__}"
        raise UserError(f"{path}: not a checkpoint: it holds {kind} without named tensors")
    return tensors


def _tensors(path: Path) -> State:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # whatever a damaged file raises
        raise unreadable(path, error) from error


@contextmanager
def rewritten(path: Path, classes: Sequence[str], constants: Sequence[str], *parts: str) -> Iterator[Path]:
    """A copy of a checkpoint for a package that follows all names in its file and evaluates texts of it as Python.

    Two readers may make different things of one file. So the package gets none of its bytes: the copy is written of what was
    read safely and checked, the texts from their syntax trees, and holds nothing else. It is gone after the context.

    Args:
        path: The file, in PyTorch's format: a dictionary of "args", a namespace, and a state dictionary for each part.
        classes: What the texts may call, with literals and constants alone.
        constants: Enumerations of which the texts may name members, in capitals.
        parts: The network's parts: names of texts in that namespace and of state dictionaries beside it.

    Raises:
        UserError: Where the file lacks such a text or state, or a text does anything but build.
    """
    content = read_content(path)
    arguments = content.get("args") if isinstance(content, Mapping) else None
    if type(arguments) is not argparse.Namespace:
        raise UserError(f"{path}: not a checkpoint of this network: its args are no namespace")
    texts = {part: _only_building(path, part, vars(arguments).get(part), classes, constants) for part in parts}
    states = {part: _only_tensors(path, part, content.get(part)) for part in parts}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        torch.save({"args": argparse.Namespace(**texts), **states}, copy)
        yield copy


def _only_building(path: Path, part: str, text: Any, classes: Sequence[str], constants: Sequence[str]) -> str:
    """A text written anew from its syntax tree. Raises UserError where it is no call of a class, or does more than build."""
    if type(text) is not str:
        raise UserError(f"{path}: not a checkpoint of this network: its args have no text {part}")
    try:
        tree = ast.parse(text, mode="eval")
    except Exception as error:  # whatever stands there in its place
        raise unreadable(path, error) from error
    allowed = {*classes, *constants, "float", "inf"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            known = isinstance(node.value, ast.Name) and node.value.id in constants and node.attr.isupper()
        elif isinstance(node, ast.Constant):
            # Packages replace parts of these texts before they evaluate them: no string may have anything to escape.
            value = node.value
            known = isinstance(value, int | float | None) or (isinstance(value, str) and bool(_WORD.fullmatch(value)))
        else:
            known = isinstance(node, _PLAIN) and not (isinstance(node, ast.Name) and node.id not in allowed)
        if not known:
            raise UserError(f"{path}: its settings hold more than calls of {', '.join(classes)}: {ast.unparse(node)}")
    if not isinstance(tree.body, ast.Call):
        raise UserError(f"{path}: its settings for the {part} are no call of {', '.join(classes)}: {ast.unparse(tree)}")
    return ast.unparse(tree)


def _only_tensors(path: Path, part: str, state: Any) -> State:
    """A state dictionary without what a file can hang on it or its tensors. Raises UserError where it holds others."""
    if not isinstance(state, Mapping) or not all(
        type(key) is str and type(value) in (Tensor, nn.Parameter) for key, value in state.items()
    ):
        raise UserError(f"{path}: not a checkpoint of this network: its {part} is no dictionary of named tensors")
    return {key: value.detach() for key, value in state.items()}


def select(state: State, prefix: str) -> State:
    """The part of a checkpoint under a prefix, without it; the whole where no key has it."""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)} or state


def without(state: State, *patterns: str) -> State:
    """Less the keys that match a pattern from their start: named parts that a feature does not need."""
    return {key: value for key, value in state.items() if not any(re.match(pattern, key) for pattern in patterns)}


def renamed(state: State, rules: Iterable[tuple[str, str]]) -> State:
    """Every key after all (pattern, replacement) rules, in order."""
    result = {}
    for key, value in state.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        result[key] = value
    return result


def load_strictly(network: nn.Module, state: State, source: Path) -> None:
    """Load a state into a network: every key, of the right shape, and no other.

    Raises UserError that names what is missing, unknown or of another shape; the network is then untouched.
    """
    expected = network.state_dict()
    shapes = [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(expected[key].shape)}"
        for key in expected
        if key in state and state[key].shape != expected[key].shape
    ]
    complaints = [
        _listed("missing", [key for key in expected if key not in state]),
        _listed("unknown", [key for key in state if key not in expected]),
        _listed("of another shape", shapes),
    ]
    if any(complaints):
        raise UserError(f"{source}: this checkpoint does not fit the model: {'; '.join(filter(None, complaints))}")
    network.load_state_dict(state, strict=True)


def _listed(kind: str, names: list[str]) -> str:
    if not names:
        return ""
    return f"{len(names)} {kind}: {listed(names, _LISTED)}"
