"""Selections: what runs, in what mode, under which protocol, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.cells import Cell
from bench.registry import datasets
from bench.run.planning.plan import Plan, keep_available, keep_readable, make_plan, scene_names
from bench.run.request import Request
from bench.types import Dataset, DatasetCard, GeometryEstimator, Model, MultiViewScene, Track, Unavailable, UserError


def test_the_default_covers_both_tracks_without_any_download() -> None:
    plan = make_plan(Request())
    assert {cell.track for cell in plan.cells} == {"probe", "geometry"}
    assert {cell.dataset for cell in plan.cells} == {"procedural"}
    assert {cell.mode for cell in plan.cells if cell.track == "probe"} == {"G", "T", "A", "instantsplat"}
    assert not plan.left_out
    assert "dinov2" not in {cell.model for cell in plan.cells}
    assert len(set(plan.cells)) == len(plan.cells)


def test_instantsplat_is_one_cell_a_scene_whatever_the_models() -> None:
    plan = make_plan(Request(models=("rgb", "iuv"), modes=("G", "instantsplat")))
    baseline = [cell for cell in plan.cells if cell.mode == "instantsplat"]
    scenes = {cell.scene for cell in plan.cells}
    assert len(baseline) == len(scenes)
    assert {cell.model for cell in baseline} == {"-"}
    assert len(plan.cells) == 3 * len(scenes)


def test_the_data_set_decides_the_track() -> None:
    plan = make_plan(Request(models=("oracle",), modes=("G",)))
    assert {cell.track for cell in plan.cells} == {"geometry"}
    plan = make_plan(Request(models=("iuvrgb+daisy",), modes=("G",)))
    assert {cell.model for cell in plan.cells} == {"iuvrgb+daisy"}
    assert {cell.track for cell in plan.cells} == {"probe"}


def test_patterns_expand_and_equal_models_are_planned_once() -> None:
    def models(*asked: str) -> list[str]:
        plan = make_plan(Request(models=asked, modes=("G",)))
        return list(dict.fromkeys(cell.model for cell in plan.cells))

    assert models("dinov2:*") == ["dinov2:S", "dinov2", "dinov2:L", "dinov2:g"]
    assert models("dino:S@layer=*") == [*(f"dino:S@layer={layer}" for layer in range(1, 12)), "dino:S"]
    assert models("dinov2:B", "dinov2", "dinov2@layer=12") == ["dinov2"]
    assert models("dino:*@jbu+iuvrgb") == ["dino:S@jbu+iuvrgb", "dino@jbu+iuvrgb"]
    assert models("dino", "dino@untrained") == ["dino", "dino@untrained"]
    assert models("leres@untrained") == ["leres@untrained"]


def test_a_size_of_a_pattern_that_cannot_run_is_listed_and_a_named_one_stops_the_run() -> None:
    def check(name: str, model: type[Model]) -> None:
        if "dinov2 g" in model.card.name.lower():
            raise Unavailable(f"{name} does not fit")

    asked = Request(models=("dinov2:*",), scenes=("room",), modes=("G",))
    plan = keep_available(make_plan(asked), asked, check)
    assert {cell.model for cell in plan.cells} == {"dinov2:S", "dinov2", "dinov2:L"}
    assert [each.what for each in plan.left_out] == ["model dinov2:g"]
    asked = replace(asked, models=("dinov2:S", "dinov2:g"))
    with pytest.raises(Unavailable, match="dinov2:g does not fit"):
        keep_available(make_plan(asked), asked, check)


def test_networks_in_packages_need_no_download() -> None:
    models = {cell.model for cell in make_plan(Request()).cells}
    assert {"xfeat", "aliked", "disk", "efficientnet-lite", "constant"} <= models
    assert {"xfeat@untrained", "aliked@untrained", "disk@untrained"} <= models
    assert "constant@untrained" not in models


def test_a_former_name_runs_under_todays() -> None:
    asked = ("efficientnet-lite0", "efficientnet-lite2@layer=*+iuvrgb")
    names = {cell.model for cell in make_plan(Request(models=asked, scenes=("room",), modes=("G",))).cells}
    layers = {f"efficientnet-lite:2@layer={layer}+iuvrgb" for layer in (1, 2, 3, 5)}
    assert names == {"efficientnet-lite", "efficientnet-lite:2+iuvrgb", *layers}


def test_protocols_follow_the_device_unless_named() -> None:
    def probe_protocol(selection: Request) -> set[str]:
        return {cell.protocol for cell in make_plan(selection).cells}

    assert probe_protocol(Request(models=("rgb",), modes=("G",))) == {"quick-v2"}
    assert probe_protocol(Request(models=("rgb",), modes=("G",), device="cuda")) == {"paper-v1"}
    assert probe_protocol(Request(models=("rgb",), modes=("G",), protocols=("quick-v1",), device="cuda")) == {"quick-v1"}
    assert probe_protocol(Request(models=("oracle",), protocols=("exact-v1",))) == {"exact-v1"}


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Request(models=("dinov22",)), "did you mean dinov2"),
        (Request(models=("rgb+nothing",)), "no feature provider is named 'nothing'"),
        (Request(models=("dinov2:XL",)), "no size 'XL'.*S, B, L, g"),
        (Request(models=("dinov2@layer=13",)), "layer is one of 1 to 12, not 13"),
        (Request(models=("rgb:*",)), "rgb has no sizes"),
        (Request(models=("rgb@untrained",)), "no trained weights"),
        (Request(models=("oracle@jbu",)), "no geometry estimator is named 'oracle@jbu'"),
        (Request(datasets=("procedura",)), "did you mean procedural"),
        (Request(modes=("X",)), "no mode is named 'X'"),
        (Request(models=("rgb",), pointmap="nowhere"), "no point-map initialiser is named 'nowhere'"),
        (Request(models=("rgb",), scenes=("room", "atlantis")), "has no scene 'atlantis'"),
        (Request(protocols=("paper-v0",)), "no protocol is named 'paper-v0'"),
    ],
)
def test_mistakes_are_named(selection: Request, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_plan(selection)


def test_a_named_data_set_that_is_not_on_disk_stops_the_run_and_all_lists_it(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        make_plan(Request(models=("rgb",), datasets=("mipnerf360",), data_root=tmp_path))
    plan = make_plan(Request(models=("rgb",), modes=("G",), datasets=("all",), data_root=tmp_path))
    found = {cell.dataset for cell in plan.cells}
    assert {name for name in found if datasets[name].__module__.startswith("registry.")} == {"procedural"}
    assert "dataset mipnerf360" in {left_out.what for left_out in plan.left_out}


def _without(*absent: str) -> Callable[[str, type[Model]], None]:
    """A check that finds these names unavailable, and may see each thing once only."""
    seen = set()

    def check(name: str, model: type[Model]) -> None:
        assert (name, model) not in seen
        seen.add((name, model))
        if name in absent:
            raise Unavailable(f"{name} lacks something")

    return check


def test_what_cannot_run_is_left_out_under_all_and_stops_the_run_where_it_was_named() -> None:
    every = Request(models=("all",), modes=("G",), weights="random")
    plan = make_plan(every)
    kept = keep_available(plan, every, _without("vggt-decoder", "midas"))
    assert {cell.model for cell in plan.cells} - {cell.model for cell in kept.cells} == {"vggt-decoder", "midas"}
    assert sorted((left_out.what, left_out.reason) for left_out in kept.left_out) == [
        ("estimator midas", "midas lacks something"),
        ("model midas", "midas lacks something"),
        ("model vggt-decoder", "vggt-decoder lacks something"),
    ]
    named = replace(every, models=("all", "dino+vggt-decoder@jbu"))
    with pytest.raises(Unavailable, match="vggt-decoder lacks"):
        keep_available(make_plan(named), named, _without("vggt-decoder"))
    kept = keep_available(make_plan(named), named, _without("sd"))
    assert "dino+vggt-decoder@jbu" in {cell.model for cell in kept.cells}


def test_a_name_of_two_models_runs_as_the_one_that_can() -> None:
    both = Request(models=("midas",), modes=("G",))
    plan = make_plan(both)
    assert {cell.track for cell in plan.cells} == {"probe", "geometry"}

    def estimator_lacks(name: str, model: type[Model]) -> None:
        if issubclass(model, GeometryEstimator):
            raise Unavailable(f"{name} lacks something")

    kept = keep_available(plan, both, estimator_lacks)
    assert {cell.track for cell in kept.cells} == {"probe"}
    assert [left_out.what for left_out in kept.left_out] == ["estimator midas"]
    with pytest.raises(Unavailable, match="midas lacks"):
        keep_available(plan, both, _without("midas"))


def test_an_initialiser_that_cannot_run_takes_its_cells_along() -> None:
    everywhere = Request(models=("rgb",), modes=("G",), datasets=("all",))
    cells = tuple(
        Cell("probe", name, "scene", "rgb", "G", pointmap, "quick-v1", 0)
        for name, pointmap in (("photos", "dust3r"), ("colmap", "sparse"))
    )
    both = replace(everywhere, datasets=("photos", "colmap"))
    for selection in (everywhere, replace(both, models=("all",))):
        kept = keep_available(Plan(cells, ()), selection, _without("dust3r"))
        assert kept.cells == cells[1:]
        assert [left_out.what for left_out in kept.left_out] == ["point map dust3r"]
    for selection in (replace(everywhere, pointmap="dust3r"), both):
        with pytest.raises(Unavailable, match="dust3r lacks"):
            keep_available(Plan(cells, ()), selection, _without("dust3r"))
    with pytest.raises(Unavailable, match="dust3r lacks"):
        keep_available(Plan(cells[:1], ()), replace(both, models=("all",)), _without("dust3r"))


class TwoScenes(Dataset):
    """One scene with points, one that no installed initialiser can start."""

    card = DatasetCard("Two")

    def scenes(self, root: Path | None, track: Track) -> Sequence[str]:
        return ["points", "photos", "mountain"]

    def load_scene(self, root: Path | None, name: str) -> MultiViewScene:
        raise UserError("nothing is loaded here")

    def fingerprint(self, root: Path | None, name: str, track: Track) -> str:
        return name

    def pointmap_of(self, root: Path | None, name: str) -> str:
        if name == "points":
            return "sparse"
        raise Unavailable("no estimator is installed")


@pytest.fixture
def two_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    list(datasets)  # what is installed, before the test's own
    monkeypatch.setitem(datasets._classes, "two", TwoScenes)


@pytest.mark.usefixtures("two_scenes")
def test_scenes_without_a_point_map_stop_one_data_set_and_are_listed_beside_others() -> None:
    alone = Request(models=("rgb",), modes=("G",), datasets=("two",))
    with pytest.raises(Unavailable, match=r"^scenes two/photos, two/mountain: no estimator is installed$"):
        make_plan(alone)
    assert {cell.scene for cell in make_plan(replace(alone, scenes=("points",))).cells} == {"points"}
    named = make_plan(replace(alone, pointmap="vggt"))
    assert {(cell.scene, cell.pointmap) for cell in named.cells} == {
        ("points", "vggt"),
        ("photos", "vggt"),
        ("mountain", "vggt"),
    }
    for others in (("two", "procedural"), ("all",)):
        plan = make_plan(replace(alone, datasets=others))
        assert {(cell.scene, cell.pointmap) for cell in plan.cells if cell.dataset == "two"} == {("points", "sparse")}
        assert ("scenes two/photos, two/mountain", "no estimator is installed") in {
            (left_out.what, left_out.reason) for left_out in plan.left_out
        }
        assert "procedural" in {cell.dataset for cell in plan.cells}
    with pytest.raises(Unavailable, match="scene two/photos: no estimator is installed"):
        make_plan(replace(alone, scenes=("photos",), datasets=("two", "procedural")))


def test_a_scene_that_cannot_be_read_stops_the_run_and_is_left_out_under_all() -> None:
    cells = tuple(Cell("probe", "llff", scene, "rgb", "G", "sparse", "quick-v1", 0) for scene in ("a", "b", "c", "d", "e"))
    asked: list[str] = []

    def read(cell: Cell) -> None:
        asked.append(cell.scene)
        if cell.scene in ("b", "d"):
            raise UserError(f"{cell.scene}/poses_bounds.npy: must hold numbers")

    named = Request(models=("rgb",), datasets=("llff",))
    with pytest.raises(UserError) as raised:
        keep_readable(Plan((*cells, replace(cells[0], mode="T")), ()), named, read)
    assert asked == ["a", "b", "c", "d", "e"], "each scene once"
    assert str(raised.value).splitlines() == [
        "scene llff/b: b/poses_bounds.npy: must hold numbers",
        "scene llff/d: d/poses_bounds.npy: must hold numbers",
        "mend what is named, or run the others: --scenes a,c,e",
    ]
    kept = keep_readable(Plan(cells, ()), replace(named, datasets=("all",)), read)
    assert [cell.scene for cell in kept.cells] == ["a", "c", "e"]
    assert [left_out.what for left_out in kept.left_out] == ["scene llff/b", "scene llff/d"]
    with pytest.raises(UserError, match="scene llff/b: b/poses"):
        keep_readable(Plan(cells[1:2], ()), replace(named, datasets=("all",)), read)
    assert keep_readable(Plan(cells[:1], ()), named, read) == Plan(cells[:1], ())


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (("Living room, day 2",), ["Living room, day 2"]),
        (("Living room, day 2,001",), ["Living room, day 2", "001"]),
        (("001, Living room, day 2 ,NA",), ["001", "Living room, day 2", "NA"]),
        (("001", "Living room, day 2"), ["001", "Living room, day 2"]),
        (("Living room",), ["Living room"]),
        (("Living room, day 3",), ["Living room", "day 3"]),
        (('"quoted", it is',), ['"quoted", it is']),
        (("Cafe\u0301",), ["Caf\u00e9"]),
        (("all", "auto"), ["all", "auto"]),
        ((" , ,",), []),
    ],
)
def test_scene_names_may_hold_commas_and_quotes(asked: tuple[str, ...], names: list[str]) -> None:
    known = ["001", "NA", "Living room, day 2", "Living room", '"quoted", it is', "Caf\u00e9"]
    assert scene_names(asked, known) == names
