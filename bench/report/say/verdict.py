"""What a run says, in sentences: who wins, by how much, against what, and whether that is more than chance.

Every sentence is made from the rows. A difference is one of the same scenes, averaged within each data set and then over
data sets, as the tables' averages are, with the bootstrap interval over scenes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from bench.core.cells import INSTANTSPLAT, OVER_DATASETS
from bench.core.names import ModelName
from bench.core.text import listed
from bench.metrics.catalogue import Metric, headline
from bench.report.say.cards import named, title_of
from bench.report.say.marks import (
    cells_below_floor,
    marks_of_conditions,
    of_conditions,
    scenes_by_model,
    title_of_conditions,
)
from bench.stats.bootstrap import stratified_difference

FEWEST_SCENES = 5  #: fewer say who is ahead, but not that it is more than the choice of scenes
Contender = tuple[str, str, str]  #: model, weights, role


@dataclass(frozen=True)
class Verdict:
    """What one set of conditions says: `title` names it, `marks` what must be said of its numbers."""

    title: str
    marks: tuple[str, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Lead:
    """How far one model is ahead of another, oriented: positive is better, whatever the metric's direction.

    Attributes:
        difference: In the metric's stored unit; low and high bound it (95 % bootstrap over scenes, NaN for one scene).
        scenes: How many both have.
    """

    difference: float
    low: float
    high: float
    scenes: int
    metric: Metric

    @property
    def sure(self) -> bool:
        """The interval is above zero and rests on enough scenes."""
        return self.low > 0 and self.scenes >= FEWEST_SCENES

    def __str__(self) -> str:
        """ "+0.31 dB [+0.10, +0.52]"; signed as better, so an error that is lower by 2 % reads +2 %."""
        text = self.metric.told_difference(self.difference)
        if not self.low <= self.high:  # NaN: one scene
            return text
        unit = self.metric.printed_unit
        bounds = [self.metric.told_difference(bound).removesuffix(unit).strip() for bound in (self.low, self.high)]
        return f"{text} [{', '.join(bounds)}]"


def lead(units: pd.DataFrame, first: Contender, second: Contender, metric: Metric) -> Lead:
    """How far `first` is ahead of `second` over the scenes that both have.

    Args:
        units: (data set, scene) x (model, weights, role), as bench.report.say.marks.scenes_by_model gives it.
        first: A column of it.
        second: Another one.
        metric: What the units hold.
    """
    sign = 1.0 if metric.higher_is_better else -1.0
    found = stratified_difference(sign * units[first], sign * units[second])
    return Lead(found["difference"], found["low"], found["high"], int(found["n"]), metric)


def twin_of(model: str, contenders: list[Contender]) -> Contender | None:
    """The same network without its trained weights, where it was run: `name@untrained`, or the name with random weights."""
    untrained = [each for each in contenders if each[0] != INSTANTSPLAT and _is_twin(each, model)]
    return untrained[0] if untrained else None


def _is_twin(contender: Contender, model: str) -> bool:
    name, weights, _ = contender
    parsed = ModelName.parse(name)
    return str(parsed.trained) == model and (parsed.untrained or weights == "random")


def training_gains(rows: pd.DataFrame, modes: dict[str, str]) -> list[tuple[str, str, Lead]]:
    """What training adds: each model less its untrained twin, in every mode where both were measured.

    Args:
        rows: Of one protocol and point map of the probe.
        modes: Mode -> title.

    Returns:
        (model, mode title, lead), empty where no model has a twin.
    """
    metric = headline("probe")
    found = []
    for mode, title in modes.items():
        units = scenes_by_model(rows, metric.name, mode)
        contenders = _contenders(units) if len(units) else []
        for contender in contenders:
            model, weights, _ = contender
            twin = None if weights == "random" or model == INSTANTSPLAT else twin_of(model, contenders)
            if twin is not None:
                found.append((model, title, lead(units, contender, twin, metric)))
    return found


def verdicts(rows: pd.DataFrame, means: pd.DataFrame, block_titles: dict[str, str]) -> Iterator[Verdict]:
    """One verdict for each protocol and point map: in the geometry mode of the probe (or the first mode that there is), and
    under the alignment that most estimators share.

    Args:
        rows: Measured rows.
        means: Of them (bench.report.say.means.table_means).
        block_titles: Mode or alignment -> its title, in the order of preference.
    """
    order = {"probe": 0, "geometry": 1}
    groups = rows.groupby(["track", "protocol", "pointmap"], sort=True, observed=True)
    for (track, protocol, pointmap), part in sorted(groups, key=lambda group: order[str(group[0][0])]):
        chosen = of_conditions(means, str(track), str(protocol), str(pointmap))
        metric = headline(str(track))
        block = _block(part, str(track), metric, block_titles)
        if block is not None:
            mode, alignment = (block, "-") if track == "probe" else ("-", block)
            units = scenes_by_model(part, metric.name, mode, alignment)
            averages = chosen[(chosen["dataset"] == OVER_DATASETS) & (chosen["metric"] == metric.name)]
            title = title_of_conditions(str(track), str(protocol), str(pointmap))
            title += f", {block_titles[block].lower()}{' mode' if track == 'probe' else ''}, {_extent(units)}"
            baseline = scenes_by_model(part, metric.name, INSTANTSPLAT) if track == "probe" else pd.DataFrame()
            own = averages[averages["mode" if track == "probe" else "alignment"] == block]
            said = [*_sentences(units, own, baseline, metric, str(track)), *_below_floor(part, block, metric)]
            yield Verdict(title, marks_of_conditions(part), tuple(said))


def _block(rows: pd.DataFrame, track: str, metric: Metric, titles: dict[str, str]) -> str | None:
    ok = rows[(rows["metric"] == metric.name) & (rows["status"] == "ok")]
    counts = ok.groupby("mode" if track == "probe" else "alignment", observed=True)["model"].nunique()
    known = [block for block in titles if block in counts.index]
    if track == "probe":
        return known[0] if known else None
    return max(known, key=lambda block: (counts[block], -known.index(block))) if known else None


def _extent(units: pd.DataFrame) -> str:
    scenes, datasets = len(units), units.index.get_level_values("dataset").nunique()
    text = f"{scenes} scene{'s' if scenes > 1 else ''}"
    return text + (f" of {datasets} data sets" if datasets > 1 else "")


def _sentences(
    units: pd.DataFrame, averages: pd.DataFrame, baseline: pd.DataFrame, metric: Metric, track: str
) -> Iterator[str]:
    contenders = _contenders(units)
    values = {(str(r["model"]), str(r["weights"]), str(r["role"])): r["value"] for r in averages.to_dict("records")}
    held = averages[averages["ranked"] & averages["value"].notna()]
    held = held.sort_values("value", ascending=not metric.higher_is_better, kind="stable")
    ranked: list[Contender] = [(str(r["model"]), str(r["weights"]), str(r["role"])) for r in held.to_dict("records")]

    def told(contender: Contender) -> str:
        return f"{title_of(contender[0], track)} ({metric.told(values.get(contender, float('nan')))})"

    controls = [each for each in contenders if each[2] in ("control", "floor") and each[1] != "random" and each in values]
    controls.sort(key=lambda each: values[each], reverse=bool(metric.higher_is_better))
    if not ranked:
        strongest = f" The strongest control is {told(controls[0])}." if controls else ""
        yield f"No model was measured that can be ranked: controls, oracles, random weights or incomplete rows.{strongest}"
        return
    best = ranked[0]
    if len(ranked) == 1:
        yield f"{told(best)} is the only model that can be ranked."
    else:
        ahead = lead(units, best, ranked[1], metric)
        if ahead.sure:
            yield f"{told(best)} is best, {ahead} ahead of {told(ranked[1])}."
        elif ahead.scenes < FEWEST_SCENES:
            yield f"{told(best)} is ahead of {told(ranked[1])} by {ahead}; {_few(ahead.scenes)} not settle the order."
        else:
            yield f"{told(best)} leads {told(ranked[1])} by {ahead}, which the choice of scenes alone can explain."
    yield from _against_controls(units, best, controls, metric, told)
    valueless = averages[(averages["role"] == "floor") & averages["value"].isna()]
    for row in valueless.drop_duplicates("model").to_dict("records"):
        reason = str(row["note"]).partition(";")[0]  # what is said of all its views follows
        yield f"The floor, {title_of(str(row['model']), track)}, has no value{f': {reason}' if reason else ''}."
    twin = twin_of(best[0], contenders)
    if twin is not None:
        gain = lead(units, best, twin, metric)
        more = "adds" if gain.difference > 0 else "adds nothing:"
        yield f"The training of {title_of(best[0], track)} {more} {gain} to the same network untrained."
    if INSTANTSPLAT in {str(each[0]) for each in baseline.columns.to_flat_index()}:
        column = next(each for each in _contenders(baseline) if each[0] == INSTANTSPLAT)
        both = units[[best]].join(baseline[[column]], how="inner")
        yield f"Against InstantSplat, which sees no feature and optimises everything: {lead(both, best, column, metric)}."
    oracles = [each for each in contenders if each[2] == "oracle" and each in values]
    if oracles:
        top = max(oracles, key=lambda each: values[each] * (1 if metric.higher_is_better else -1))
        above = lead(units, top, best, metric)
        if above.difference > 0:
            yield f"{told(top)}, which reads the truth, is {above} above the best model: what is left to gain."
        else:
            under = lead(units, best, top, metric)
            yield f"{told(top)}, which reads the truth, is no bound here: the best model is {under} above it."
    lost = sorted(
        {title_of(each[0], track) for each in contenders if each[2] == "model" and each[1] != "random"}
        - {title_of(each[0], track) for each in ranked}
        - {title_of(str(model), track) for model in averages[averages["below"] != ""]["model"]}
        - {title_of(INSTANTSPLAT)}
    )
    if lost:
        yield f"Not ranked, for lack of a scene: {', '.join(lost)}."


def _contenders(units: pd.DataFrame) -> list[Contender]:
    return [(str(column[0]), str(column[1]), str(column[2])) for column in units.columns.to_flat_index()]


def _against_controls(
    units: pd.DataFrame, best: Contender, controls: list[Contender], metric: Metric, told: Callable[[Contender], str]
) -> Iterator[str]:
    if not controls:
        yield "No control has a value here, so nothing says what a feature without knowledge would reach."
        return
    strongest = controls[0]
    weakest = next((each for each in controls if each[2] == "floor"), controls[-1])
    over = lead(units, best, strongest, metric)
    if over.difference <= 0:
        short = lead(units, strongest, best, metric)
        yield f"Nothing beats the control {told(strongest)}: it is {short} above the best model."
    elif over.sure:
        yield f"It beats the strongest control, {told(strongest)}, by {over}."
    elif over.scenes < FEWEST_SCENES:
        yield f"It is {over} above the strongest control, {told(strongest)}; {_few(over.scenes)} not prove it better."
    else:
        yield f"Nothing beats the control {told(strongest)} for sure: the best model is {over} above it."
    if weakest != strongest:
        called = "floor" if weakest[2] == "floor" else "weakest control"
        yield f"The {called} is {told(weakest)}: {lead(units, best, weakest, metric)}."


def _below_floor(rows: pd.DataFrame, mode: str, metric: Metric) -> Iterator[str]:
    cells = cells_below_floor(rows)
    cells = cells[cells["mode"] == mode]
    if len(cells):
        models = cells.groupby(["model", "weights"], sort=True)
        told = [
            f"{title_of(named(str(model), str(weights)))} ({metric.told(part['value'].mean())} on "
            f"{listed(sorted(set(part['scene'])))}, floor {metric.told(part['floor'].mean())})"
            for (model, weights), part in models
        ]
        yield f"Below the floor, and no score: {'; '.join(told)}."


def _few(scenes: int) -> str:
    return "one scene does" if scenes == 1 else f"{scenes} scenes do"
