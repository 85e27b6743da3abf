"""Ways in which others turn a table of models and units into one number a model, beside the mean and the mean rank.

Every function takes a table (units, models), NaN where a unit has no value, as bench.stats.aggregate.unit_table gives it,
and says nothing about what a unit is: a scene, or a data set.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.stats.bootstrap import complete_units, resampled_means
from bench.stats.rank import rank_columns

ELO_MEAN = 1000.0  #: of all ratings together
ELO_SCALE = 400.0 / np.log(10.0)  #: points a unit of log-odds: 400 points are odds of ten to one
_STEPS, _CLOSE, _FARTHEST = 200, 1e-10, 1.0  #: of Newton's method, in log-odds


def wins(units: pd.DataFrame, higher_is_better: bool) -> pd.DataFrame:
    """How many units the model of the row wins against the model of the column; a tie counts half to either.

    Only units that both have count.
    """
    values = units.to_numpy(float) * (1.0 if higher_is_better else -1.0)
    won = np.stack([_won(values[:, [place]], values).sum(axis=0) for place in range(values.shape[1])])
    np.fill_diagonal(won, 0.0)
    return pd.DataFrame(won, index=units.columns, columns=units.columns)


def _won(own: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where a value is better (larger) than another, 0.5 where they are equal, 0 elsewhere and where one is missing."""
    return (own > others) + 0.5 * (own == others)


def win_rates(units: pd.DataFrame, higher_is_better: bool) -> pd.Series:
    """Per model, the share of its comparisons that it wins, over all units and all other models; NaN without any."""
    won = wins(units, higher_is_better).to_numpy()
    played = won + won.T
    with np.errstate(invalid="ignore"):
        return pd.Series(won.sum(axis=1) / played.sum(axis=1), index=units.columns)


def elo(won: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ratings of the Bradley-Terry model on Elo's scale: their mean is 1000, a lead of 400 says odds of ten to one.

    The order in which games are played does not matter, unlike in Elo's own running update. Half a win and half a loss
    against an average opponent are added to each model (a weak prior), so that who wins all has a finite rating.

    Args:
        won: (..., models, models), how often the row wins against the column (`wins`).

    Returns:
        (..., models) ratings, the most likely ones.

    Source: Bradley and Terry, Biometrika 39 (1952).
    """
    games = won + np.swapaxes(won, -1, -2)
    strength = np.zeros(won.shape[:-1])
    for _ in range(_STEPS):
        lead, own = _odds(strength[..., :, None] - strength[..., None, :]), _odds(strength)
        slope = (won - games * lead).sum(axis=-1) + 0.5 - own
        bend = games * lead * (1.0 - lead)
        curvature = (bend.sum(axis=-1) + own * (1.0 - own))[..., None] * np.eye(won.shape[-1]) - bend
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        strength = strength + np.clip(step, -_FARTHEST, _FARTHEST)
        if np.abs(step).max() < _CLOSE:
            break
    return np.asarray(ELO_SCALE * (strength - strength.mean(axis=-1, keepdims=True)) + ELO_MEAN)


def _odds(lead: NDArray[np.float64]) -> NDArray[np.float64]:
    """The chance to win with this lead in log-odds."""
    return 1.0 / (1.0 + np.exp(-lead))


def aggregations(
    units: pd.DataFrame, higher_is_better: bool, *, confidence: float = 0.95, resamples: int = 200, seed: int = 0
) -> pd.DataFrame:
    """Several aggregations of one table side by side, over the units that every model has.

    Args:
        units: (units, models).
        higher_is_better: The direction of the values.
        confidence: Of Elo's percentile interval, the units being drawn with replacement.
        resamples: So many draws.
        seed: Of the draws.

    Returns:
        Per model: mean; rank, the mean over units of its rank there (ties share the average place); wins, the share of
        comparisons won; elo with elo_low and elo_high (NaN for fewer than two units); n, the units.
    """
    complete, _ = complete_units(units)
    if complete.shape[1] < 2 or complete.empty:
        return pd.DataFrame(columns=["mean", "rank", "wins", "elo", "elo_low", "elo_high", "n"])
    ranks = rank_columns(complete.T, [higher_is_better] * len(complete)).mean(axis=1)
    values = complete.to_numpy(float) * (1.0 if higher_is_better else -1.0)
    by_unit = _won(values[:, :, None], values[:, None, :]) * (1.0 - np.eye(values.shape[1]))
    count, models = values.shape
    low = high = np.full(models, np.nan)
    if count > 1:
        drawn = resampled_means(by_unit.reshape(count, -1), resamples, seed).reshape(-1, models, models) * count
        tail = (1 - confidence) / 2
        low, high = np.quantile(elo(drawn), [tail, 1 - tail], axis=0)
    return pd.DataFrame(
        {
            "mean": complete.mean(axis=0),
            "rank": ranks,
            "wins": win_rates(complete, higher_is_better),
            "elo": elo(by_unit.sum(axis=0)),
            "elo_low": low,
            "elo_high": high,
            "n": count,
        },
        index=complete.columns,
    )
