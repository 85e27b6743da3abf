"""The vocabulary of training data, and what it says of overlap, against facts worked out by hand."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from bench.core.facts import training
from bench.core.facts.training import OTHERS, TRAINING_DATA, UNDISCLOSED, is_disclosed, overlap, parts, sources
from bench.core.registry import datasets, estimators, features, pointmaps
from bench.results.reference.shipped import PUBLISHED, shipped_table
from bench.types import Card, UserError

#: (training data, data set, kind of overlap): read off the papers, one by one.
FACTS = [
    (("MiDaS-Mix", "NYUv2", "KITTI"), "nyuv2", "trained"),  # ZoeDepth's indoor and outdoor model
    (("MiDaS-3.1-Mix",), "kitti", "trained"),
    (("MiDaS-Mix",), "kitti", None),  # version 3.0 had neither
    (("Metric3D-Mix",), "ddad", "trained"),
    (("Metric3D-Mix",), "gso", "derived"),  # scanned objects placed in Replica's rooms
    (("Metric3D-Mix",), "nyuv2", "alike"),  # through the initial weights alone
    (("MoGe-Mix",), "spring", "trained"),
    (("MoGe-2-Mix",), "spring", None),
    (("DA-V2-Mix",), "kitti", "derived"),  # Virtual KITTI 2
    (("DA-V1-Mix",), "kitti", "alike"),
    (("MASt3R-Mix",), "dl3dv", "trained"),
    (("DUSt3R-Mix",), "dl3dv", None),
    (("DA3-Mix",), "dl3dv", "trained"),
    (("DA3-Mix",), "spring", "derived"),  # its labels are of a teacher that was trained on Spring
    (("DA3-Metric-Mix",), "ddad", "trained"),
    (("DA3-Mono-Mix",), "gso", "derived"),  # the teacher saw scanned objects in Replica's rooms
    (("UniDepth-V2-Mix",), "dl3dv", "trained"),
    (("UniDepth-V2-Mix",), "ddad", None),  # which it is tested on
    (("VGGT-Mix",), "gso", "derived"),  # Kubric's objects
    (("WildCamera-Mix",), "mvimgnet", "trained"),
    (("MapAnything-Mix",), "spring", "trained"),
    (("MapAnything-Apache-Mix",), "dl3dv", None),
    (("Pi3-Mix",), "dl3dv", "trained"),  # through VGGT's weights, from which it starts
    (("MUSt3R-Mix",), "kitti", "derived"),  # Virtual KITTI 2
    (("Fast3R-Mix",), "dl3dv", None),
    (("LVD-142M",), "nyuv2", "alike"),
    (("LVD-142M",), "eth3d", None),
    (("DUSt3R-Mix",), "scannet", "derived"),  # Habitat renders ScanNet's rooms
    (("UniDepth-Mix",), "scannet", "trained"),
    (("MoGe-2-Mix",), "scannet", None),  # ScanNet++ has other rooms
    (("a private collection",), "kitti", None),
    ((), "kitti", None),
]


@pytest.mark.parametrize(("data", "dataset", "kind"), FACTS)
def test_overlap_as_the_papers_have_it(data: tuple[str, ...], dataset: str, kind: str | None) -> None:
    found = overlap(data, dataset)
    assert (found and found.kind) == kind
    if found:
        assert found.path[0] in data
        assert str(found).endswith((found.path[-1], ")"))


def test_what_weighs_most_is_told_by_the_shortest_way() -> None:
    both = overlap(("DA-V2-Mix", "KITTI"), "kitti")
    assert both is not None
    assert both.path == ("KITTI",)
    assert str(both) == "trained on KITTI"
    derived = overlap(("DA-V2-Mix",), "kitti")
    assert str(derived) == "trained on what was made from KITTI (DA-V2-Mix → Virtual KITTI 2 → KITTI)"


def test_mixtures_are_taken_apart() -> None:
    assert parts(("MiDaS-3.1-Mix",))[-2:] == ("KITTI", "NYUv2")
    assert len(parts(("MiDaS-3.1-Mix",))) == 10 + 1 + 2  # ten data sets, the encoder's, two more
    assert is_disclosed(("MiDaS-Mix",))
    assert not is_disclosed(("VGGT-Mix",))  # one artist-made set has no name
    assert not is_disclosed(())
    assert sources(("MoGe-Mix", "a private collection")) == ("arXiv:2410.19115, training datasets",)


def test_moges_mixture_is_the_papers_table() -> None:
    printed = set(shipped_table(PUBLISHED, "training_data")["title"])
    spelled = {"DIML-indoor": "DIML", "KenBurns": "3D Ken Burns", "MidAir": "Mid-Air", "ObjaverseV1": "Objaverse"}
    assert {spelled.get(title, title) for title in printed} == set(TRAINING_DATA["MoGe-Mix"].holds) - {"LVD-142M"}


def test_one_spelling_a_data_set() -> None:
    words = {*TRAINING_DATA, *(name for known in TRAINING_DATA.values() for name in (*known.holds, *known.made_from))}
    plain = pd.Series({word: re.sub(r"[^a-z0-9+]", "", word.lower()) for word in words})
    assert plain[plain.duplicated(keep=False)].empty


def test_every_entry_says_where_it_is_from_and_every_scored_data_set_exists() -> None:
    for name, known in TRAINING_DATA.items():
        assert known.source or known.dataset, name
        assert not known.dataset or known.dataset in datasets, name
    assert {UNDISCLOSED, OTHERS}.isdisjoint(TRAINING_DATA)


def test_cards_use_the_vocabulary_and_agree_over_the_registries() -> None:
    held: dict[str, set[tuple[str, ...]]] = {}
    for registry in (features, estimators, pointmaps):
        for name in registry:
            data = registry[name].card.data
            assert all(word in TRAINING_DATA or word == UNDISCLOSED for word in data), (name, data)
            held.setdefault(name, set()).add(data)
    assert [name for name, found in held.items() if len(found) > 1] == []
    published = shipped_table(PUBLISHED, "models")
    for name, data in zip(published["name"], published["data"], strict=True):
        assert features[name].card.data == (data,)


def test_a_text_is_no_training_data() -> None:
    with pytest.raises(UserError, match=r'data=\("COCO",\)'):
        Card("Mine", data="COCO")  # type: ignore[arg-type]


def test_a_circle_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"a": training.TrainingData(holds=("b",)), "b": training.TrainingData(made_from=("a", "c"))}
    monkeypatch.setattr(training, "TRAINING_DATA", table)
    training.overlap.cache_clear()
    found = overlap(("a",), "c")
    training.overlap.cache_clear()
    assert found is not None
    assert found.kind == "derived"
