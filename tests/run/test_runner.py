"""A run's extraction: what features cost is a row of its own, measured when they were made, whoever reads them later."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from in_process import map_groups
from torch import Tensor

from bench.core.cells import Cell
from bench.core.residents import Residents
from bench.core.track import Outcome, Settings
from bench.machine.digests import json_digest
from bench.probe.track import ProbeTrack
from bench.registry import features, pointmaps
from bench.results.claims import Claims
from bench.results.record import CellRecord
from bench.results.schema import validate_rows
from bench.results.store import Store, rows_of
from bench.run.engines.base import GivenUp
from bench.run.keys import cell_key
from bench.run.planning.plan import make_plan
from bench.run.request import Request
from bench.run.runner import Run
from bench.run.verify import other_weights, verify
from bench.run.worker import Elsewhere, Report, Task, prepare, run_cell
from bench.types import Card, FeatureProvider, Initialisation, MultiViewScene, PointmapInitialiser, UserError


class _Grid(FeatureProvider):
    card = Card(name="Grid", channels=3, stride=16, weights="hf:a/b")
    loads = extractions = 0

    def load(self, device: torch.device) -> None:
        type(self).loads += 1
        self.ballast = torch.ones(50 * 2**18)  # 50 MiB

    def extract(self, images: Tensor) -> Tensor:
        type(self).extractions += 1
        return torch.nn.functional.avg_pool2d(images, 16).permute(0, 2, 3, 1)


class _Failing(_Grid):
    def extract(self, images: Tensor) -> Tensor:
        raise MemoryError("too large")


class _TrainedStart(PointmapInitialiser):
    card = Card(name="Trained start", weights="hf:a/b")

    def initialise(self, scene: MultiViewScene, seed: int) -> Initialisation:
        raise UserError("it finds nothing")


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    list(features)
    monkeypatch.setattr(features, "_classes", {**features._classes, "grid": _Grid, "failing": _Failing})
    list(pointmaps)
    monkeypatch.setattr(pointmaps, "_classes", {**pointmaps._classes, "trained-start": _TrainedStart})
    for cls in (_Grid, _Failing):
        monkeypatch.setattr(cls, "loads", 0)
        monkeypatch.setattr(cls, "extractions", 0)


def _extracted(out: Path, cache: Path, *models: str, scenes: tuple[str, ...] = ("room",)) -> list[CellRecord]:
    """The records that extracting the features of these models leaves in `out`."""
    plan = make_plan(Request(models=models, scenes=scenes, modes=("G", "T"), protocols=("quick-v1",), weights="random"))
    run = Run(out, Settings(None, cache, "cpu", "random"))
    cells = [cell for cell in run.due(plan.cells) if cell.track == "probe"]
    assert list(run.extract(cells, map_groups))
    return list(Store(out).records())


def _values(record: CellRecord) -> dict[str, float]:
    return {measurement.metric: measurement.value for measurement in record.measurements}


def test_every_part_over_patches_has_one_record_a_scene(tmp_path: Path) -> None:
    out = tmp_path / "out"
    records = _extracted(out, tmp_path / "cache", "grid", "grid@jbu+iuvrgb", "grid+daisy", "rgb+grid")
    assert [record.cell.model for record in records] == ["daisy", "grid", "grid@jbu"]
    for record in records:
        cell = record.cell
        assert (cell.track, cell.dataset, cell.scene, cell.mode) == ("perf", "procedural", "room", "extraction")
        assert (cell.pointmap, cell.protocol, cell.seed) == ("-", "quick-v1", 0)
        assert record.weights == ("none" if cell.model == "daisy" else "random")
        values = _values(record)
        assert list(values) == ["loading_seconds", "extraction_seconds", "extraction_memory"]
        assert min(values.values()) > 0
        assert record.seconds == pytest.approx(values["loading_seconds"] + values["extraction_seconds"], abs=1e-3)
        assert record.provenance["threads"] == 1
    assert records[1].provenance["weights"] == {"grid": "random:hf:a/b"}
    assert validate_rows(rows_of(records)) == []
    Store(out).compact()
    verdict = verify(out, recompute=1, settings=Settings(None, tmp_path / "cache", "cpu", "random"))
    assert (verdict.problems, verdict.recomputed) == ((), 0), "costs are not recomputed"


def test_a_run_that_finds_the_features_records_what_they_cost_when_they_were_made(tmp_path: Path) -> None:
    first, again, other = (
        _extracted(tmp_path / name, tmp_path / "cache", "grid") for name in ("one folder", "one folder", "another")
    )
    assert (_Grid.loads, _Grid.extractions) == (1, 1)
    assert first == again, "resuming changes nothing"
    assert [(record.key, _values(record)) for record in other] == [(record.key, _values(record)) for record in first]
    assert other[0].provenance == first[0].provenance


def test_a_model_is_loaded_once_for_all_scenes_and_each_names_its_loading(tmp_path: Path) -> None:
    records = _extracted(tmp_path / "out", tmp_path / "cache", "grid", scenes=("room", "tabletop"))
    assert (_Grid.loads, _Grid.extractions) == (1, 2)
    assert {record.cell.scene for record in records} == {"room", "tabletop"}
    assert len({_values(record)["loading_seconds"] for record in records}) == 1


def test_features_that_cannot_be_made_cost_nothing_and_stop_nothing(tmp_path: Path) -> None:
    records = _extracted(tmp_path / "out", tmp_path / "cache", "failing", "grid")
    assert [record.cell.model for record in records] == ["grid"]


def test_a_stored_error_says_nothing_of_where_this_machine_keeps_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user is told the whole path; the rows, which are published, are not."""
    home = tmp_path / "ada"
    data, weights = home / "data sets", home / "secret" / "tint.pt"
    monkeypatch.setenv("HOME", str(home))
    error = f"{data}/LLFF/fern/x.png: not readable; see {weights}, {home}/notes and {tmp_path / 'cache'}/features"
    error += f", not /mnt{data}/x, {home}2/x"

    def run(track: ProbeTrack, cell: Cell, settings: Settings, residents: Residents) -> Outcome:
        raise UserError(error)

    monkeypatch.setattr(ProbeTrack, "run", run)
    settings = Settings(data, tmp_path / "cache", "cpu", "pretrained", (("grid", weights),))
    cell = Cell("probe", "procedural", "room", "rgb", "T", "simulated", "quick-v1", 0)
    monkeypatch.setattr("bench.run.worker.cell_key", lambda cell, settings: "0" * 64)
    ended = run_cell(Task(cell, "0" * 64, 60.0), out=tmp_path / "out", settings=settings, residents=Residents())
    assert isinstance(ended, Report)
    assert ended.error == error
    (record,) = Store(tmp_path / "out").records()
    assert record.status == "failed"
    assert record.error == (
        f"<data root>/LLFF/fern/x.png: not readable; see tint.pt, ~/notes and <cache>/features, not /mnt{data}/x, {home}2/x"
    )


def test_the_last_model_is_freed_before_the_next_is_built() -> None:
    alive: set[int] = set()

    class Network:
        def __init__(self, number: int) -> None:
            assert not alive, "two networks at once"
            self.number = number
            alive.add(number)

        def __del__(self) -> None:
            alive.discard(self.number)

    residents = Residents()
    for number in (1, 1, 2):
        residents.get("network", number, partial(Network, number))
        assert alive == {number}
    residents.free("network")
    assert not alive


def test_a_cells_key_follows_the_content_of_its_weights(tmp_path: Path) -> None:
    (cell,) = (c for c in make_plan(Request(models=("grid",), scenes=("room",), modes=("G",))).cells if c.track == "probe")
    file = tmp_path / "weights.bin"
    keys = []
    for content in (b"one", b"two", b"one"):
        file.write_bytes(content)
        settings = Settings(None, tmp_path, "cpu", "pretrained", (("grid", file),))
        keys.append(cell_key(cell, settings))
    assert keys[0] == keys[2] != keys[1]


def test_a_cell_says_which_weights_its_initialiser_loaded_and_others_are_told(tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"one")
    cell = Cell("probe", "procedural", "room", "daisy", "G", "trained-start", "quick-v1", 0)
    settings = Settings(None, tmp_path, "cpu", "pretrained", (("trained-start", file),))
    out = tmp_path / "out"
    task = Task(cell, cell_key(cell, settings), 60.0)
    assert run_cell(task, out=out, settings=settings, residents=Residents()).status == "failed"
    record = Store(out).read(task.key)
    assert record is not None
    sha256 = hashlib.sha256(b"one").hexdigest()
    assert (record.weights_digest, record.pointmap_digest) == ("", sha256)
    assert other_weights(record, settings) == ""
    file.write_bytes(b"others")
    said = other_weights(record, settings)
    assert "other weights of trained-start" in said
    assert sha256 in said
    assert hashlib.sha256(b"others").hexdigest() in said


@pytest.mark.parametrize("work", [run_cell, prepare])
def test_a_cell_that_is_given_up_is_missing_and_free_for_others(
    work: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unlike one whose model raises KeyboardInterrupt by itself: that one has failed."""
    cell = Cell("probe", "procedural", "room", "grid", "G", "ground-truth", "quick-v1", 0)
    settings = Settings(None, tmp_path / "cache", "cpu", "random")
    task = Task(cell, cell_key(cell, settings), 60.0)

    def ends(error: BaseException) -> object:
        def raising(*_: object) -> None:
            assert Claims(tmp_path).holder(task.key) is not None
            raise error

        monkeypatch.setattr(ProbeTrack, "run", raising)
        monkeypatch.setattr(ProbeTrack, "prepare", raising)
        return work(task, out=tmp_path, settings=settings, residents=Residents())

    with pytest.raises(GivenUp):
        ends(GivenUp())
    assert Store(tmp_path).read(task.key) is None
    assert Claims(tmp_path).holder(task.key) is None
    report = ends(KeyboardInterrupt())
    assert isinstance(report, Report)
    assert report.status == "failed"


def test_a_run_that_waits_for_another_asks_only_for_its_own_cells_until_one_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may hold the claims of a hundred other workers."""
    cells = [Cell("probe", "procedural", "room", "grid", mode, "ground-truth", "quick-v1", 0) for mode in ("G", "T")]
    tasks = [Task(cell, json_digest(cell.mode), 60.0) for cell in cells]
    claims = Claims(tmp_path)
    for key in (json_digest("another"), tasks[0].key, tasks[1].key):
        assert claims.take(key, 60.0)
    asked: list[str] = []
    holder = Claims.holder

    def noted(self: Claims, key: str) -> object:
        asked.append(key)
        return holder(self, key)

    def until_the_next_look(_: float) -> None:
        claims.release(tasks[0].key)

    monkeypatch.setattr(Claims, "holder", noted)
    monkeypatch.setattr("bench.run.runner.time.sleep", until_the_next_look)
    tried: list[str] = []

    def work(task: Task, **_: object) -> Report | Elsewhere:
        tried.append(task.cell.mode)
        return Elsewhere(task.key) if len(tried) <= 2 else Report(task.cell, "ok", 1.0)

    run = Run(tmp_path, Settings(None, tmp_path, "cpu", "random"))
    ended = [task for task, _ in run._shared(work, tasks, lambda cell: (cell.model,), lambda: None, map_groups)]
    assert ended == tasks
    assert tried == ["G", "T", "G", "T"]
    assert asked == [tasks[0].key, tasks[1].key, tasks[0].key]
