"""`bench publish`: the hub's files as its own client reads them, what is kept back, and the folder that is handed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml

from bench.core.cells import Cell, Marks
from bench.core.errors import UserError
from bench.machine.digests import json_digest
from bench.report.publish import publish
from bench.results.record import CellRecord
from bench.results.store import Store
from bench.run.verify import verify
from bench.types import Measurement

FULL, QUICK = Marks(start="estimated"), Marks(start="simulated", quick=True)
PROVENANCE = {"code_version": "0.1.0", "device_name": "a processor", "platform": "an-os", "weights": {}}


def _save(store: Store, cell: Cell, values: dict[str, float], weights: str, marks: Marks) -> None:
    block = "points_affine_invariant" if cell.track == "geometry" else "-"
    higher = {"rel": False, "delta": True, "psnr": True}
    units = {"rel": "share", "delta": "share", "psnr": "dB"}
    found = [Measurement(name, value, "a", units[name], higher[name], block) for name, value in values.items()]
    key = json_digest(str((cell, weights)))
    store.save(CellRecord(key, cell, "ok", weights, "", tuple(found), (), 1.0, 1.0, "cpu", PROVENANCE, marks=marks), {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """MoGe on KITTI and Spring, which it was trained on; Marigold; a control; random weights; a quick probe; one of a
    package; a model that lacks a sample."""
    store = Store(tmp_path / "mine")

    def geometry(
        model: str, dataset: str, sample: str, rel: float, weights: str = "pretrained", role: Any = "model"
    ) -> None:
        cell = Cell("geometry", dataset, sample, model, "-", "-", "moge-v1", 0)
        _save(store, cell, {"rel": rel, "delta": 1 - rel}, weights, Marks(role, "-"))

    for sample, rel in (("a", 0.05), ("b", 0.07)):
        geometry("moge", "kitti", sample, rel)
        geometry("moge", "spring", sample, rel)
        geometry("plane", "kitti", sample, 0.5, "none", "control")
        geometry("depth-pro", "kitti", sample, 0.3, "random")
    geometry("marigold", "kitti", "a", 0.09)
    for model, protocol, marks in (("dino", "quick-v2", QUICK), ("dinov2:L", "paper-v1", FULL), ("disk", "paper-v1", FULL)):
        cell = Cell("probe", "llff", "fern", model, "G", "simulated" if marks is QUICK else "sparse", protocol, 0)
        _save(store, cell, {"psnr": 20.0}, "pretrained", marks)
    store.compact()
    return store.folder


def _entries(out: Path, repository: str) -> list[Any]:
    text = (out / "hub" / repository / ".eval_results" / "vfm3d-bench.yaml").read_text(encoding="utf-8")
    return huggingface_hub.parse_eval_result_entries(yaml.safe_load(text))


def test_the_hubs_own_client_reads_what_is_written(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = publish(folder, "me/how-much-3d", out, source="https://example.org/results")
    assert dict(made.models) == {"Ruicheng/moge-vitl": 4, "timm/vit_large_patch14_dinov2.lvd142m": 1}
    entries = {each.task_id: each for each in _entries(out, "Ruicheng--moge-vitl")}
    rel = entries["geometry-kitti-points_affine_invariant-rel"]
    assert (rel.dataset_id, rel.value) == ("me/how-much-3d", 6.0)  # percent: the mean of .05 and .07
    assert rel.source_url == "https://example.org/results"
    assert rel.notes == "moge, protocol moge-v1; in %; mean over 2 samples"
    assert "trained on Spring" in entries["geometry-spring-points_affine_invariant-rel"].notes
    (psnr,) = _entries(out, "timm--vit_large_patch14_dinov2.lvd142m")
    assert (psnr.task_id, psnr.value) == ("probe-llff-G-psnr", 20.0)
    assert "point map sparse" in psnr.notes
    tasks = yaml.safe_load((out / "benchmark" / "eval.yaml").read_text(encoding="utf-8"))["tasks"]
    assert {task["id"] for task in tasks} == {*entries, "probe-llff-G-psnr"}


def test_what_is_kept_back_is_counted_with_its_reason(folder: Path, tmp_path: Path) -> None:
    made = publish(folder, "me/it", tmp_path / "out")
    assert dict(made.left_out) == {
        "controls and models that read the truth": 2,
        "random weights, or none": 2,
        "quick protocols": 1,
        "weights that lie in no repository of the hub, or joined features": 1,
        "no value, or scenes missing": 2,  # Marigold has one photo of two
    }
    assert "6 values: " not in (made.folder / "README.md").read_text(encoding="utf-8")
    assert "- 2 values: no value, or scenes missing" in (made.folder / "README.md").read_text(encoding="utf-8")


def test_the_submission_is_a_results_folder_that_verifies(folder: Path, tmp_path: Path) -> None:
    made = publish(folder, "me/it", tmp_path / "out")
    verdict = verify(made.folder)
    assert (verdict.cells, verdict.problems) == (verify(folder).cells, ())
    assert not (made.folder / "pictures").exists()


@pytest.mark.parametrize(
    ("benchmark", "complaint"),
    [("nowhere", "expected owner/name"), ("a/b/c", "expected owner/name"), ("/b", "expected owner")],
)
def test_malformed_names_are_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, benchmark: str, complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        publish(folder, benchmark, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_and_rows_alone_are_not_enough(folder: Path, tmp_path: Path, results: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UserError, match="is not empty"):
        publish(folder, "me/it", tmp_path / "full")
    with pytest.raises(UserError, match="holds no cells"):
        publish(tmp_path / "full", "me/it", tmp_path / "out")
    store = Store(tmp_path / "quick")
    _save(store, Cell("probe", "llff", "fern", "dino", "G", "sparse", "quick-v2", 0), {"psnr": 9.0}, "pretrained", QUICK)
    store.compact()
    with pytest.raises(UserError, match=r"nothing may be published \(1 values: quick protocols"):
        publish(store.folder, "me/it", tmp_path / "out")
    assert not (tmp_path / "out").exists()
