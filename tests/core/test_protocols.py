"""Protocols as values that a plug-in can add to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from bench.core import protocols as module
from bench.core.facts.deviations import DEVIATIONS
from bench.core.protocols import GEOMETRY_PROTOCOLS, PROBE_PROTOCOLS, protocol_named
from bench.core.registry import load_plugin
from bench.registry import protocols
from bench.types import UserError


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    kept = [(table, dict(table._held)) for table in (PROBE_PROTOCOLS, GEOMETRY_PROTOCOLS)]
    yield
    for table, held in kept:
        table._held.clear()  # type: ignore[attr-defined]
        table._held.update(held)  # type: ignore[attr-defined]


def test_a_plugin_adds_a_protocol(tmp_path: Path) -> None:
    (tmp_path / "narrow.py").write_text(
        "from dataclasses import replace\n"
        "from bench.core.protocols import PROBE_PROTOCOLS\n"
        "from bench.registry import protocols\n"
        "protocols.register(replace(PROBE_PROTOCOLS['quick-v1'], name='narrow-v1', pca_channels=8))\n"
    )
    load_plugin(str(tmp_path / "narrow.py"))
    assert protocol_named("narrow-v1") == replace(PROBE_PROTOCOLS["quick-v1"], name="narrow-v1", pca_channels=8)
    assert "narrow-v1" in PROBE_PROTOCOLS
    assert "narrow-v1" not in GEOMETRY_PROTOCOLS
    assert next(iter(PROBE_PROTOCOLS)) == "paper-v1", "the suite's own come first"


def test_the_same_again_is_no_fault_and_another_is() -> None:
    mine = protocols.register(replace(GEOMETRY_PROTOCOLS["moge-v1"], name="mine-v1"))
    assert protocols.register(replace(mine)) is not mine
    with pytest.raises(UserError, match="'mine-v1' is registered twice, with different settings"):
        protocols.register(replace(mine, segment_samples=3))
    with pytest.raises(UserError, match="the other track has one of that name"):
        protocols.register(replace(PROBE_PROTOCOLS["paper-v1"], name="mine-v1"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (replace(PROBE_PROTOCOLS["paper-v1"], name="Paper"), "use lower-case letters"),
        (replace(PROBE_PROTOCOLS["paper-v1"], name="a+b"), "use lower-case letters"),
        ({"name": "x"}, "is a ProbeProtocol or a GeometryProtocol"),
    ],
)
def test_what_is_no_protocol_is_refused(wrong: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        protocols.register(wrong)  # type: ignore[type-var]


def test_a_protocol_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        PROBE_PROTOCOLS["paper-v1"].iterations = 1  # type: ignore[misc]


def test_unknown_names() -> None:
    with pytest.raises(UserError, match=r"no protocol is named 'x'; there are paper-v1, .*exact-v1"):
        protocol_named("x")
    assert module.PROBE_PROTOCOLS.get("x") is None


def test_calibrated_is_the_papers_in_all_but_the_features_deviation() -> None:
    calibrated = PROBE_PROTOCOLS["calibrated-v1"]
    assert calibrated == replace(PROBE_PROTOCOLS["paper-v1"], name="calibrated-v1", feature_deviation=1.0)


def test_deviations_say_what_both_do() -> None:
    assert len({each.what for each in DEVIATIONS}) == len(DEVIATIONS)
    for each in DEVIATIONS:
        assert "" not in (each.ours, each.official, each.reason), each.what
        assert each.ours != each.official, each.what


def test_the_documented_deviations_are_these() -> None:
    page = (Path(module.__file__).parents[1] / "docs" / "protocols.md").read_text()
    for each in DEVIATIONS:
        assert f"| {each.track} | {each.what} | {each.ours} | {each.official} | {each.size or 'not measured'} |" in page
