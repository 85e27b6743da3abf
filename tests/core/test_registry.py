"""The registry: names, base classes, hints, broken plug-ins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.core import registry
from bench.core.names import Part
from bench.core.registry import Registry, load_plugin
from bench.types import Card, Dataset, DatasetCard, FeatureProvider, UserError


class Toy(FeatureProvider):
    card = Card(name="Toy")

    def extract(self, images: Any) -> Any:
        return images


class Unfinished(FeatureProvider):
    card = Card(name="Unfinished")


def test_a_class_is_found_by_its_name() -> None:
    models: Registry[FeatureProvider] = Registry("model", FeatureProvider)
    assert models.register("toy")(Toy) is Toy
    assert models["toy"] is Toy
    assert list(models) == ["toy"]


def test_the_same_class_may_be_registered_again_but_not_another_of_that_name() -> None:
    models: Registry[FeatureProvider] = Registry("model", FeatureProvider)
    models.register("toy")(Toy)
    models.register("toy")(Toy)

    class Other(Toy):
        card = Card(name="Other")

    with pytest.raises(UserError, match=r"'toy' is registered twice: by .*Toy and by .*Other"):
        models.register("toy")(Other)


def test_a_former_name_leads_to_its_class_and_nobody_else_can_take_it() -> None:
    models: Registry[FeatureProvider] = Registry("model", FeatureProvider)
    models.register("toy", former={"toy-small": "S"})(Toy)
    models.register("toy", former={"toy-small": "S"})(Toy)
    assert str(models.current(Part("toy-small"))) == "toy:S"

    class Other(Toy):
        card = Card(name="Other")

    with pytest.raises(UserError, match="'toy-small': it is taken, toy:S was called so"):
        models.register("toy-small")(Other)
    for former in ("toy-small", "toy", "other"):
        with pytest.raises(UserError, match=f"'other': the former name '{former}' is taken"):
            models.register("other", former={former: "S"})(Other)
    assert list(models) == ["toy"], "what is refused leaves nothing"
    assert str(models.current(Part("toy-small"))) == "toy:S"


def test_an_unknown_name_gets_a_hint() -> None:
    models: Registry[FeatureProvider] = Registry("model", FeatureProvider)
    models.register("dinov2")(Toy)
    with pytest.raises(UserError, match="did you mean dinov2"):
        models["dinov3"]
    with pytest.raises(UserError, match="known: dinov2"):
        models["zzz"]


@pytest.mark.parametrize("name", ["procedural:L", "procedural@untrained", "procedural@layer=3", "procedural+llff", ""])
def test_a_data_set_has_no_sizes(name: str) -> None:
    assert name not in registry.datasets
    with pytest.raises(UserError, match="no dataset is named"):
        registry.datasets[name]


def test_a_class_without_the_method_of_its_kind_is_refused_when_it_registers() -> None:
    with pytest.raises(UserError, match=r"abstract class Unfinished .* abstract method 'extract'"):
        Registry("model", FeatureProvider).register("unfinished")(Unfinished)

    class Empty(Dataset):
        card = DatasetCard("Empty")
        tracks = ("probe", "geometry")

    with pytest.raises(UserError, match="'fingerprint', 'scenes', 'load_scene', 'load_sample'"):
        Registry("data set", Dataset).register("empty")(Empty)  # type: ignore[type-abstract]


@pytest.mark.parametrize(
    "name", ["Toy", "a+b", "", "a b", "@", "../../x", "a/b", ".", "..", "<script>", "a\nb", "'", '"', "a\x00"]
)
def test_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="lower-case"):
        Registry("model", FeatureProvider).register(name)(Toy)


def test_a_wrong_base_class_and_a_missing_card_are_refused() -> None:
    models: Registry[FeatureProvider] = Registry("model", FeatureProvider)
    with pytest.raises(UserError, match="must be a class derived from FeatureProvider"):
        models.register("toy")(int)  # type: ignore[arg-type]

    class NoCard(FeatureProvider):
        pass

    with pytest.raises(UserError, match="lacks the attribute `card`"):
        models.register("toy")(NoCard)


def test_a_plugin_that_does_not_import_breaks_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_plugins"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "broken.py").write_text("import a_module_that_is_not_there\n")
    (package / "fine.py").write_text("LOADED = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_broken", {})
    registry._import_tree("some_plugins")
    (broken,) = registry._broken.values()
    assert broken.module == "some_plugins.broken"
    assert "a_module_that_is_not_there" in broken.reason
    import some_plugins.fine  # type: ignore[import-not-found]

    assert some_plugins.fine.LOADED


def test_a_plugin_file_that_fails_names_the_file_and_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_plugin(str(tmp_path / "absent.py"))
    bad = tmp_path / "bad.py"
    bad.write_text("1 / 0\n")
    with pytest.raises(UserError, match=r"bad\.py: ZeroDivisionError.*\(bad\.py:1\)"):
        load_plugin(str(bad))


def test_what_ships_with_the_suite_is_discovered() -> None:
    assert {"iuvrgb", "dinov2"} <= set(registry.features)
    assert "procedural" in registry.datasets
    assert {"ground-truth", "simulated", "sparse"} <= set(registry.pointmaps)
    assert "oracle" in registry.estimators
    assert not [broken for broken in registry.broken_plugins() if broken.module.startswith("registry")]
