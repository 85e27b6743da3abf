"""The small install for those who only read results: the packages of readers.txt and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from bench.commands.listing import REGISTRIES, listing_json

ROOT = Path(__file__).resolve().parents[1]

#: Run as a program: `bench ARGUMENTS` where the packages named first cannot be imported.
WITHOUT = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

absent = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Absent())
sys.argv = ["bench", *sys.argv[2:]]
from bench.cli import main
main()
"""


def named(requirement: str) -> str:
    return requirement.partition(">")[0].strip().lower()


def absent() -> list[str]:
    """What can be imported with the default install, but not with the one for readers."""
    wanted = {named(line) for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]}
    kept = {named(line) for line in (ROOT / "readers.txt").read_text().splitlines() if line and not line.startswith("#")}
    assert kept < wanted
    return [module for module, owners in packages_distributions().items() if {o.lower() for o in owners} & (wanted - kept)]


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["report", "results/embedded", "--out", "{out}"], "report: ", 0),
        (["compare", "results/embedded", "--to", "results/embedded", "--out", "{out}"], "report: ", 0),
        (["verify", "results/embedded"], "rows", 0),
        (["status", "results/embedded"], "results/embedded holds no results (there is neither", 2),
        (["doctor"], "results can be read, reported and compared, nothing can be run", 0),
        (["run", "--models", "iuvrgb", "--out", "{out}"], "this needs PyTorch", 2),
        (["weights", "check", "--models", "dinov2"], "which is not installed: pip install", 2),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_results_are_read_without_what_measuring_needs(arguments: list[str], said: str, code: int, tmp_path: Path) -> None:
    words = [word.format(out=tmp_path / "out") for word in arguments]
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT, ",".join(absent()), *words], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert ran.returncode == code, ran.stderr
    assert said in ran.stdout + ran.stderr
    if words[0] == "report":
        assert (tmp_path / "out" / "leaderboard.html").is_file()
        assert "| DAISY |" in (tmp_path / "out" / "report.md").read_text(), "titles stand on classes that need PyTorch"


@pytest.mark.parametrize("kind", ["models", "estimators", "pointmaps", "datasets"])
def test_cards_are_those_that_the_libraries_give(kind: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT, ",".join(absent()), "list", kind, "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert not ran.stderr, "no plug-in is left out"
    found, wanted = json.loads(ran.stdout), json.loads(listing_json(kind))
    assert {card.pop("state") for card in found.values() if "state" in card} <= {"package absent"}
    for card in wanted.values():
        card.pop("state", None)
    assert found == {name: wanted[name] for name in found}
    classes = {name: REGISTRIES[kind][name] for name in wanted}
    # Other tests register classes of their own, and data sets that they find.
    own = {name for name, cls in classes.items() if hasattr(sys.modules.get(cls.__module__), cls.__name__)}
    assert {name for name in own if classes[name].__module__.startswith("registry.")} <= set(found)
