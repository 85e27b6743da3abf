"""From what the user selects to the list of cells to run, and what is left out, with the reason."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from bench.core.cells import INSTANTSPLAT, MODES, NO_MODEL, NOT_APPLICABLE, Cell, Track
from bench.core.errors import Unavailable, UserError
from bench.core.families import expanded
from bench.core.interfaces import Dataset, FeatureProvider, GeometryEstimator, Model, PointmapInitialiser
from bench.core.lookup import model_classes
from bench.core.names import UNTRAINED, ModelName
from bench.core.protocols import DEFAULT_PROBE, GEOMETRY_PROTOCOLS, PROBE_PROTOCOLS, protocol_named
from bench.core.registry import Registry, datasets, estimators, features, find_datasets, pointmaps
from bench.core.text import MOST_NAMED, listed
from bench.machine.weights import to_be_downloaded
from bench.run.request import ALL, AUTO, EMBEDDED, PROBED, Request


@dataclass(frozen=True)
class LeftOut:
    """Something that `all` would have covered but that cannot run here, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """The cells, grouped so that neighbours share a scene and a model, and what was left out."""

    cells: tuple[Cell, ...]
    left_out: tuple[LeftOut, ...]


def make_plan(selection: Request) -> Plan:
    """Expand a selection. Raises UserError for a name that is not registered, a mode or scene that does not exist, a data
    set that is not on disk (unless it came in through `all`), or a selection that holds no cell at all. Scenes for which the
    data set knows no point-map initialiser that runs here are refused too; of several data sets the others are run."""
    find_datasets(selection.data_root)
    left_out: list[LeftOut] = []
    probe_protocol, geometry_protocol = _protocols(selection)
    providers = _models(selection, features)
    chosen_estimators = _models(selection, estimators)
    modes = _modes(selection.modes)
    if not providers and INSTANTSPLAT not in selection.modes:
        modes = []  # the baseline stands beside features, it does not come along with estimators
    if selection.pointmap != AUTO:
        pointmaps[selection.pointmap]
    cells: list[Cell] = []
    known_scenes: list[str] = []
    for name in _dataset_names(selection.datasets):
        dataset = datasets[name]()
        for track in dataset.tracks:
            try:
                found = dataset.scenes(selection.data_root, track)
            except Unavailable as error:
                if ALL not in selection.datasets:
                    raise
                left_out.append(LeftOut(f"dataset {name}", str(error)))
                break
            known_scenes += found
            scenes = _scenes(selection.scenes, found, dataset)
            if track == "geometry":
                probes = [(model, "-") for model in chosen_estimators]
                protocol, starts = geometry_protocol, dict.fromkeys(scenes, "-")
            else:
                probes, protocol = _probes(providers, modes), probe_protocol
                starts, lacking = _pointmaps(name, scenes if probes else (), selection)
                left_out += lacking
                if lacking and set(selection.datasets) == {name}:
                    raise Unavailable(f"{lacking[0].what}: {lacking[0].reason}")
            cells += [
                Cell(track, name, scene, model, mode, pointmap, protocol, seed)
                for scene, pointmap in starts.items()
                for model, mode in probes
                for seed in selection.seeds
            ]
    _check_scenes(selection.scenes, known_scenes, selection.datasets)
    if not cells and left_out:
        raise Unavailable("\n".join(f"{each.what}: {each.reason}" for each in left_out))
    if not cells:
        raise UserError(_nothing(selection))
    return Plan(tuple(cells), tuple(left_out))


def _probes(providers: Sequence[str], modes: Sequence[str]) -> list[tuple[str, str]]:
    """What is run on each scene of the probe track: (model, mode)."""
    pairs = [(model, mode) for model in providers for mode in modes if mode != INSTANTSPLAT]
    return [*pairs, (NO_MODEL, INSTANTSPLAT)] if INSTANTSPLAT in modes else pairs


def _pointmaps(name: str, scenes: Sequence[str], selection: Request) -> tuple[dict[str, str], list[LeftOut]]:
    """The initialiser of each scene, and the scenes for which the data set knows none that runs here."""
    if selection.pointmap != AUTO:
        return dict.fromkeys(scenes, selection.pointmap), []
    dataset = datasets[name]()
    found: dict[str, str] = {}
    lacking: dict[str, list[str]] = {}
    for scene in scenes:
        try:
            found[scene] = dataset.pointmap_of(selection.data_root, scene)
        except Unavailable as error:
            lacking.setdefault(str(error), []).append(f"{name}/{scene}")
        except UserError:  # a scene that cannot be read, which is for `keep_readable` to tell
            found[scene] = dataset.default_pointmap
    return found, [
        LeftOut(f"scene{'s' if len(names) > 1 else ''} {listed(names)}", reason) for reason, names in lacking.items()
    ]


def _protocols(selection: Request) -> tuple[str, str]:
    """The probe's and the geometry track's protocol. Unnamed: the device's own for the probe; moge-v1."""
    probe, geometry = DEFAULT_PROBE["cuda" if selection.on_gpu else "cpu"], "moge-v1"
    for name in selection.protocols:
        protocol_named(name)
    probes, geometries = (
        [name for name in dict.fromkeys(selection.protocols) if name in known]
        for known in (PROBE_PROTOCOLS, GEOMETRY_PROTOCOLS)
    )
    for found in (probes, geometries):
        if len(found) > 1:
            raise UserError(f"--protocol: {' and '.join(found)} are of one track; name one, and run the other by itself")
    return (probes or [probe])[0], (geometries or [geometry])[0]


def _models(selection: Request, registry: Registry[Any]) -> list[str]:
    """The selected names that this registry holds, each in its one spelling; raises where no registry holds a name."""
    chosen: list[str] = []
    for asked in selection.models:
        if asked == ALL:
            chosen += registry
        elif asked == EMBEDDED:
            chosen += _embedded(registry)
        else:
            chosen += _meant(asked)[registry.kind]
    return list(dict.fromkeys(chosen))


def _embedded(registry: Registry[Any]) -> Iterator[str]:
    """The models that need no download, each trained one followed by its untrained twin."""
    for name in registry:
        card = registry[name].card
        if not to_be_downloaded(card):
            yield name
            if card.weights:
                yield str(ModelName.parse(name).parts[0].with_variant(UNTRAINED))


def _meant(asked: str) -> dict[str, list[str]]:
    """The names that one on the command line stands for, by kind of registry: patterns are expanded, defaults left out.

    Raises UserError where no registry has such a model.
    """
    written = ModelName.parse(asked)
    found: dict[str, list[str]] = {features.kind: [], estimators.kind: []}
    faults: list[UserError] = []
    registries: list[Registry[Any]] = [features, estimators]
    for registry in registries:
        name = ModelName(tuple(map(registry.current, written.parts)))
        if not all(base in registry for base in name.bases):
            continue
        try:
            found[registry.kind] = _expanded(name, registry)
        except UserError as error:
            faults.append(error)
    if faults and not any(found.values()):
        raise faults[0]
    if not any(found.values()):
        unknown = next(base for base in written.bases if base not in features)
        if written.is_joined:
            features[unknown]  # says which ones there are
        _unknown_model(unknown)
    return found


def _expanded(name: ModelName, registry: Registry[Any]) -> list[str]:
    """All names that a pattern stands for in a registry."""
    parts = [expanded(registry[part.base], part) for part in name.parts]
    names = [str(ModelName(each)) for each in product(*parts)]
    if registry is features and not name.is_plain:
        from bench.probe.features.composite import parse_features  # brings PyTorch, which a report does without

        for each in names:
            parse_features(each)
    for each in names if registry is estimators else ():
        registry[each]
    return names


def _unknown_model(name: str) -> None:
    known = sorted({*features, *estimators})
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`bench list models` shows them all"
    raise UserError(f"no feature provider or geometry estimator is named {name!r}; {hint}")


def _must_run(models: Sequence[str]) -> list[str]:
    """The models that were named one by one, in their one spelling: not through `all`, `embedded` or a pattern."""
    named = [ModelName.parse(asked) for asked in models if asked not in (ALL, EMBEDDED)]
    single = [str(name) for name in named if not any(part.is_pattern for part in name.parts)]
    return [name for asked in single for names in _meant(asked).values() for name in names]


def _modes(asked: Sequence[str]) -> list[str]:
    if ALL in asked:
        return list(MODES)
    if AUTO in asked:
        return list(PROBED)
    for mode in asked:
        if mode not in MODES:
            raise UserError(f"no mode is named {mode!r}; there are {', '.join(MODES)}")
    return list(dict.fromkeys(asked))


def _dataset_names(asked: Sequence[str]) -> list[str]:
    if ALL in asked:
        return list(datasets)
    for name in asked:
        datasets[name]
    return list(dict.fromkeys(asked))


def _scenes(asked: Sequence[str], found: Sequence[str], dataset: Dataset) -> list[str]:
    names = scene_names(asked, found)
    if AUTO in names:
        return [scene for scene in dataset.default_scenes if scene in found] or list(found)
    return list(found) if ALL in names else [name for name in dict.fromkeys(names) if name in found]


def scene_names(asked: Sequence[str], known: Sequence[str]) -> list[str]:
    """The names in what was asked for: a scene's name as it is, or names with commas between them.

    A name may hold commas itself: of what there is the longest name that fits is meant. Letters with accents are the same
    whether composed or not.
    """
    scenes = {unicodedata.normalize("NFC", name): name for name in known}
    longest = max((name.count(",") for name in scenes), default=0) + 1
    names: list[str] = []
    for text in asked:
        pieces = unicodedata.normalize("NFC", text).split(",")
        if ",".join(pieces) in scenes:
            names.append(scenes[",".join(pieces)])
            continue
        while pieces:
            joined = {count: ",".join(pieces[:count]).strip() for count in range(longest, 0, -1)}
            count = next((count for count, name in joined.items() if name in scenes), 1)
            names += [scenes.get(joined[count], joined[count])] if joined[count] else []
            pieces = pieces[count:]
    return names


def _check_scenes(asked: Sequence[str], known: Sequence[str], datasets_asked: Sequence[str]) -> None:
    """Raises UserError for a scene that no selected data set has."""
    for name in scene_names(asked, known):
        if name not in (AUTO, ALL) and name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {listed(known, 12)}"
            raise UserError(f"--scenes: {','.join(datasets_asked)} has no scene {name!r}; {hint}")


def _nothing(selection: Request) -> str:
    return (
        f"nothing to run: models {','.join(selection.models)} on datasets {','.join(selection.datasets)} "
        f"(scenes {','.join(selection.scenes)}) share no track; see `bench list models` and `bench list datasets`"
    )


def keep_readable(plan: Plan, selection: Request, read: Callable[[Cell], object]) -> Plan:
    """The plan less the scenes that `read` raises UserError for, which are listed as left out.

    read: called once for each scene. Of data sets that the user named every scene must be sound: one UserError names all
    that are not.
    """
    faults: dict[tuple[Track, str, str], str] = {}
    scenes = {(cell.track, cell.dataset, cell.scene): cell for cell in plan.cells}
    for place, cell in scenes.items():
        try:
            read(cell)
        except UserError as error:
            faults[place] = str(error)
    left_out = tuple(LeftOut(f"scene {dataset}/{scene}", reason) for (_, dataset, scene), reason in faults.items())
    if faults and (ALL not in selection.datasets or len(faults) == len(scenes)):
        sound = list(dict.fromkeys(scene for track, dataset, scene in scenes if (track, dataset, scene) not in faults))
        others = f", or run the others: --scenes {','.join(sound)}" if 0 < len(sound) <= MOST_NAMED else ""
        named = [f"{each.what}: {each.reason}" for each in left_out[:MOST_NAMED]]
        more = [f"and {len(left_out) - MOST_NAMED} scenes more"] if len(left_out) > MOST_NAMED else []
        raise UserError("\n".join([*named, *more, f"mend what is named{others}"]))
    kept = tuple(cell for cell in plan.cells if (cell.track, cell.dataset, cell.scene) not in faults)
    return Plan(kept, (*plan.left_out, *left_out))


def with_notes(plan: Plan, note: Callable[[Cell], str]) -> Plan:
    """The plan, what its scenes do without added to what is left out. note: of a scene, "" for nothing; called once each."""
    scenes = {(cell.dataset, cell.scene): cell for cell in plan.cells if cell.track == "probe"}
    notes = {f"photos of {dataset}/{scene}": note(cell) for (dataset, scene), cell in scenes.items()}
    return Plan(plan.cells, (*plan.left_out, *(LeftOut(what, said) for what, said in notes.items() if said)))


def keep_available(plan: Plan, selection: Request, check: Callable[[str, type[Model]], None]) -> Plan:
    """The plan less the cells whose model or point-map initialiser `check` finds unavailable; these are listed as left out.

    check: called once for each name and class; it raises Unavailable. What the user named must run: the Unavailable of a
    named model or initialiser is raised, and under named models that of a data set's own initialiser too. It is also raised
    where nothing is left. A name that is both a feature provider and an estimator's runs as the one that can.
    """
    reasons: dict[type[Model], Unavailable | None] = {}
    left_out: list[LeftOut] = []
    for cell in plan.cells:
        for name, model in models_and_initialiser(cell):
            if model in reasons:
                continue
            reasons[model] = _lack(check, name, model)
            if reasons[model]:
                kind = next(noun for base, noun in _KINDS.items() if issubclass(model, base))
                left_out.append(LeftOut(f"{kind} {name}", str(reasons[model])))

    def lack_of(cell: Cell) -> Unavailable | None:
        return next((lack for _, model in models_and_initialiser(cell) if (lack := reasons[model])), None)

    kept = tuple(cell for cell in plan.cells if not lack_of(cell))
    named = [("model", model) for model in _must_run(selection.models)]
    named += [("pointmap", selection.pointmap)]
    named += [("dataset", dataset) for dataset in selection.datasets if ALL not in selection.models]
    for field, name in named:
        cells = [cell for cell in plan.cells if getattr(cell, field) == name]
        if cells and not any(getattr(cell, field) == name for cell in kept) and (lack := lack_of(cells[0])):
            raise lack
    if plan.cells and not kept and (lack := lack_of(plan.cells[0])):
        raise lack
    return Plan(kept, (*plan.left_out, *left_out))


_KINDS: dict[type[Model], str] = {PointmapInitialiser: "point map", GeometryEstimator: "estimator", FeatureProvider: "model"}


def _lack(check: Callable[[str, type[Model]], None], name: str, model: type[Model]) -> Unavailable | None:
    try:
        check(name, model)
    except Unavailable as error:
        return error
    return None


def models_and_initialiser(cell: Cell) -> list[tuple[str, type[Model]]]:
    """Name and class of all that a cell runs."""
    initialiser = [] if cell.pointmap == NOT_APPLICABLE else [(cell.pointmap, pointmaps[cell.pointmap])]
    return [*model_classes(cell), *initialiser]
