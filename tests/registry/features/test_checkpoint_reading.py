"""Reading checkpoints: tensors come out of files of every age and kind, and nothing in a file is imported or called."""

from __future__ import annotations

import argparse
import collections
import enum
import functools
import pickle
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.machine.tensors import Inert, read_content
from bench.types import Unavailable, UserError
from registry.support.checkpoints import read_state, renamed, rewritten, without


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "state_dict_ema"])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_files_are_read_in_either_format(tmp_path: Path, wrapper: str | None, suffix: str) -> None:
    state, path = {"a": torch.arange(3.0)}, tmp_path / f"file.{suffix}"
    if suffix == "safetensors":
        save_file(state, path)
    else:
        torch.save({wrapper: state, "args": argparse.Namespace(lr=1.0)} if wrapper else state, path)
    assert torch.equal(read_state(path)["a"], state["a"])


def test_unreadable_files_are_one_clear_error_and_run_no_code(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no checkpoint file at"):
        read_state(tmp_path / "absent.pth")
    (tmp_path / "damaged.safetensors").write_bytes(b"not tensors")
    with pytest.raises(UserError, match=r"damaged.safetensors: not a checkpoint"):
        read_state(tmp_path / "damaged.safetensors")
    torch.save({"model": _Called(_mark)}, tmp_path / "code.pth")
    with pytest.raises(UserError, match=r"code.pth: not a checkpoint: it holds a dict without named tensors"):
        read_state(tmp_path / "code.pth")
    torch.save(_Called(_mark), tmp_path / "object.pth")
    with pytest.raises(UserError, match=r"object.pth: not a checkpoint: it holds an object of a class that is not known"):
        read_state(tmp_path / "object.pth")
    assert not _called
    for number, content in enumerate(
        ([torch.zeros(2)], torch.zeros(2), "text", 7, None, {"model": [1]}, {1: torch.zeros(2)})
    ):
        torch.save(content, tmp_path / f"other-{number}.pth")
        with pytest.raises(UserError, match=rf"other-{number}\.pth"):
            read_state(tmp_path / f"other-{number}.pth")


_called: list[str] = []


class _Called:
    """Asks whoever reads it to call a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def _mark() -> None:
    _called.append("marked")


def test_renaming_and_leaving_out() -> None:
    state = {"model.a.weight": torch.zeros(1), "head.bias": torch.zeros(1)}
    assert set(without(state, r"head\.")) == {"model.a.weight"}
    assert set(renamed(state, [(r"^model\.", ""), (r"^a\.", "b.")])) == {"b.weight", "head.bias"}


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any], Path], None]:
    """Saves a checkpoint beside objects of a module that is then gone, as the settings of most training codes are."""
    module: Any = types.ModuleType("trainers_settings")

    class Settings:
        def __getstate__(self) -> dict[str, Any]:
            return {"_content": {"model": "Network()"}, "_parent": None}

        def __setstate__(self, state: Any) -> None:
            _called.append("restored")

        def __reduce__(self) -> tuple[Any, ...]:
            return type(self), (), self.__getstate__()

    class Kind(enum.Enum):
        LARGE = 1

    for each in (Settings, Kind):
        each.__module__, each.__qualname__ = module.__name__, each.__name__
        setattr(module, each.__name__, each)

    def save(state: dict[str, Any], path: Path) -> None:
        beside = {"args": Settings(), "kind": Kind.LARGE, "best": np.float64(0.5), "any": Any,
                  "schedule": functools.partial(Settings, 1), "path": Path("x")}  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module.__name__, module)
            torch.save({"model": state, **beside}, path)

    return save


def test_what_lies_beside_the_tensors_is_in_nobodys_way(foreign: Callable[..., None], tmp_path: Path) -> None:
    state, path = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}, tmp_path / "file.pth"
    foreign(state, path)
    known = set(torch.serialization.get_safe_globals())
    assert "trainers_settings" not in sys.modules
    found = read_state(path)
    assert set(found) == {"a", "b"}
    assert all(torch.equal(found[name], state[name]) for name in state)
    content = read_content(path)
    assert isinstance(content["args"], Inert)
    assert vars(content["args"]) == {}, "it keeps nothing of what it is given"
    assert "restored" not in _called
    assert set(torch.serialization.get_safe_globals()) == known, "what was let through for this file is so for no other"


@pytest.mark.parametrize(
    "function",
    [eval, exec, compile, __import__, open, getattr, subprocess.Popen, subprocess.run, pickle.loads, torch.load, print],
)
def test_no_function_of_a_file_is_called(function: Callable[..., Any], tmp_path: Path) -> None:
    """Wherever it stands: beside the tensors, among them, in their place."""
    mark, state = tmp_path / "mark", {"a": torch.arange(3.0)}
    text = f"open({str(mark)!r}, 'w').close()"
    arguments: tuple[Any, ...] = {open: (str(mark), "w"), subprocess.Popen: (["touch", str(mark)],)}.get(function, (text,))
    if function is subprocess.run:
        arguments = (["touch", str(mark)],)
    asking = _Called(function, *arguments)
    torch.save({"model": {**state, "b": asking}, "args": asking}, tmp_path / "a")
    assert set(read_state(tmp_path / "a")) == {"a"}
    torch.save(asking, tmp_path / "b")
    with pytest.raises(UserError, match="not a checkpoint"):
        read_state(tmp_path / "b")
    assert not mark.exists()


def test_the_systems_own_modules_are_refused_whatever_they_are_for(tmp_path: Path) -> None:
    import os

    torch.save({"model": {"a": torch.zeros(1)}, "args": _Called(os.system, f"touch {tmp_path / 'mark'}")}, tmp_path / "a")
    with pytest.raises(
        UserError, match=rf"read safely \(UnpicklingError: Trying to load unsupported GLOBAL {os.name}.system .*"
    ):
        read_state(tmp_path / "a")
    assert not (tmp_path / "mark").exists()


class _List(list[int]):
    pass


class _Dict(dict[str, int]):
    pass


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (_Dict(a=1), "Can only SETITEM for dict"),
        (collections.defaultdict(int, a=1), "Can only SETITEM for dict"),
        (_List([1]), "Can only append to lists"),
        (collections.deque([1, 2]), "Can only extend lists"),
    ],
)
def test_items_in_other_dictionaries_and_lists_than_python_and_pytorch_know_are_refused(
    held: Any, reason: str, tmp_path: Path
) -> None:
    torch.save({"model": {"a": torch.zeros(1)}, "args": held}, tmp_path / "a")
    with pytest.raises(UserError, match=rf"read safely \(UnpicklingError: {reason}.*, but got [^\n]*\)$"):
        read_state(tmp_path / "a")


def test_a_reason_is_pytorchs_own_and_never_its_advice_to_read_without_care(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"no pickle")
    (tmp_path / "empty").write_bytes(b"")
    torch.save({"a": _Called(print)}, tmp_path / "old", _use_new_zipfile_serialization=False)
    for name, reason in {
        "empty": "EOFError",
        "old": "UnpicklingError: Unsupported global: GLOBAL print was not an allowed global by default.",
    }.items():
        with pytest.raises(UserError, match=rf"{name}: not a checkpoint that can be read safely \({reason}\)$"):
            read_content(tmp_path / name)
    with pytest.raises(UserError) as caught:
        read_content(tmp_path / "text")
    assert "weights_only" not in str(caught.value)


class _Built:
    """Asks whoever reads it to make an object and to give it a state."""

    def __init__(self, kind: type, state: Any) -> None:
        self.asked = kind, (), state

    def __reduce__(self) -> tuple[Any, ...]:
        return self.asked


def test_a_package_that_follows_names_gets_what_was_checked_and_nothing_else(foreign: Any, tmp_path: Path) -> None:
    text, state = "Network( size=(1, 2),low=-1.5,  kind=Kind.LARGE,\tof='a_1:2')  # so", {"a": torch.arange(3.0)}
    marking, hung = _Called(_mark), torch.ones(2)
    hung.hook = marking  # type: ignore[attr-defined]
    for arguments in (
        argparse.Namespace(model=text, optimiser=marking),
        _Built(argparse.Namespace, ({"model": text}, {"optimiser": marking})),
    ):
        held = {**state, "b": torch.nn.Parameter(torch.ones(2)), "c": hung}
        torch.save({"args": arguments, "model": held, "kind": marking}, tmp_path / "file.pth")
        with rewritten(tmp_path / "file.pth", ("Network",), ("Kind",), "model") as copy:
            names = torch.serialization.get_unsafe_globals_in_checkpoint(copy)
            content = torch.load(copy, weights_only=False)
        assert not copy.exists()
        assert set(names) <= {"argparse.Namespace"}
        assert set(content) == {"args", "model"}
        assert vars(content["args"]) == {"model": "Network(size=(1, 2), low=-1.5, kind=Kind.LARGE, of='a_1:2')"}
        assert set(content["model"]) == {"a", "b", "c"}
        assert all(type(value) is torch.Tensor and not vars(value) for value in content["model"].values())
        assert torch.equal(content["model"]["a"], state["a"])
    assert not _called


def test_settings_of_which_two_readers_make_different_things_are_refused(tmp_path: Path) -> None:
    """PyTorch's reader takes the pair for the object's attributes; pickle takes it for two dictionaries of them."""
    good, evil, path = "Network()", "__import__('builtins')", tmp_path / "file.pth"
    pair = ({"model": evil, good: 0}, {"model": evil, good: 0})
    torch.save({"args": _Built(collections.OrderedDict, pair), "model": {"a": torch.zeros(1)}}, path)
    assert torch.load(path, weights_only=False)["args"].model == evil
    with (
        pytest.raises(UserError, match=r"file.pth: not a checkpoint of this network: its args are no namespace"),
        rewritten(path, ("Network",), (), "model"),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1], "its args are no namespace"),
        ({"args": {"model": "Network()"}}, "its args are no namespace"),
        ({"args": argparse.Namespace()}, "its args have no text model"),
        ({"args": argparse.Namespace(model=b"Network()")}, "its args have no text model"),
        ({"args": argparse.Namespace(model="Network()")}, "its model is no dictionary of named tensors"),
        ({"args": argparse.Namespace(model="Network()"), "model": {"a": 1}}, "its model is no dictionary of named tensors"),
        ({"args": argparse.Namespace(model="Network(of='\\n')")}, r"its settings hold more than calls of Network: '\\n'"),
        ({"args": argparse.Namespace(model="Network(")}, r"can be read safely \(SyntaxError: .*never closed"),
    ],
)
def test_what_a_package_cannot_be_given_is_one_clear_error(content: Any, reason: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "file.pth")
    with (
        pytest.raises(UserError, match=rf"file.pth: .*{reason}"),
        rewritten(tmp_path / "file.pth", ("Network",), ("Kind",), "model"),
    ):
        pass


def test_files_of_old_releases_are_read_without_foreign_objects(foreign: Any, tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_state(tmp_path / "old.pth")["a"], torch.ones(2))
    torch.save({"a": torch.ones(2), "b": _Called(_mark)}, tmp_path / "odd.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match="not a checkpoint that can be read safely"):
        read_state(tmp_path / "odd.pth")
    assert not _called
