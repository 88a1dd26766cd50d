"""How well models of the reward rank schedules of equal cost that they have not seen, and how far they say to be off.

The schedules are those that searches on a test bed have evaluated, with all that a search may change: numbers of steps,
skips, damping by component, guidance, fitted to uncached runs. Models are judged twice, within the range of interest:
on the rest after a random choice of them, and generation by generation, as a search asks them: on the candidates of the
next one, from all before. Of searches that draw half of a generation by lot those that were drawn are judged on; of
others, which are given by their databases, all that were bred, most of which the surrogate has chosen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.code import made_by
from benchmarks.machine import RESULTS, machine
from benchmarks.search.surrogate_data import Evaluated, evaluated, read
from surrogate import Surrogate, banded_rank_correlation, fit_drift_trend, interval_coverage

__all__ = ["table"]

Floats = NDArray[np.float64]
Chosen = NDArray[np.intp]

WORK = Path("runs/surrogate")
#: Evaluated schedules to learn from.
SIZES = (24, 48, 96)
BANDS = 8

OURS = "this surrogate: trend and LightGBM, five members"
#: Of drift as it is scaled to what it does, see Drift.expected_error; nothing is learned.
SUM = "sum of scaled drift"
TREND = "trend alone"
GAUSSIAN = "Gaussian process"
WITH_TREND, ALONE = "trend and ", " alone"
#: In place of a number of schedules, where all generations before are learned from.
BEFORE = "all generations before"


class Guess(NamedTuple):
    """Log drops of ``n`` schedules, and standard deviations; None of models that do not tell."""

    mean: Floats
    std: Floats | None = None


#: (features to learn from, log drops, features to predict) -> their log drops.
Fit = Callable[[Floats, Floats, Floats], Guess]


def main(
    bed: str = "shapes-euler-14",
    database: Annotated[
        list[Path] | None, typer.Option(help="Of searches on the bed; without any, they are run.")
    ] = None,
    seeds: int = 2,
    evaluations: int = 150,
    draws: int = 6,
    work: Path = WORK,
    results: Path = RESULTS,
) -> None:
    """Fit and judge all models, several times for each number of evaluated schedules."""
    made = made_by(("benchmarks.search.surrogate_models",))
    if database:
        searches = [read(bed, path) for path in database]
    else:
        searches = [evaluated(bed, seed, work, evaluations) for seed in range(seeds)]
    sizes = [size for size in SIZES if size <= min(len(data.reward) for data in searches) / 2]
    figures: dict[str, dict[str, list[list[float | None]]]] = {}
    for data in searches:
        judged = data.generation > 0 if database else data.drawn
        for model in _names():
            rows = figures.setdefault(model, {})
            for size, draw in product(sizes, range(draws)):
                seen, unseen = _split(data, size, draw)
                rows.setdefault(str(size), []).append(_judged(data, unseen, *_timed(data, model, seen, unseen)))
            rows.setdefault(BEFORE, []).append(_by_generation(data, model, judged))
    summary = {
        **made,
        "machine": machine(),
        "bed": bed,
        "searches": [
            {
                "schedules": len(data.reward),
                "of interest": int(data.of_interest.sum()),
                "judged by generation": int(
                    ((data.generation > 0 if database else data.drawn) & data.of_interest).sum()
                ),
            }
            for data in searches
        ],
        "columns": ["rank correlation at equal cost", "error of the log drop", "in 90 %", "log score", "seconds"],
        "figures": figures,
    }
    stem = results / f"surrogate_models-{bed}"
    stem.with_suffix(".json").write_text(json.dumps(summary, indent=1) + "\n")
    text = table(figures)
    stem.with_suffix(".md").write_text(text + "\n")
    Console().print(text, highlight=False)


def table(figures: Mapping[str, Mapping[str, Sequence[Sequence[float | None]]]]) -> str:
    """Rank and error by number of schedules; for generations also how often intervals hold, and the log score."""
    sizes = list(next(iter(figures.values())))
    lines = ["| model | " + " | ".join(sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
    for name, by_size in figures.items():
        cells = []
        for rows in by_size.values():
            rank, error, inside, score, _ = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
            spread = f" ± {rank.std(ddof=1) / np.sqrt(len(rank)):.2f}" if len(rank) > 1 else ""
            told = f", {inside.mean():.0%}, {score.mean():.2f}" if np.isfinite(inside).all() else ""
            cells.append(f"{rank.mean():.2f}{spread}, {error.mean():.2f}{told}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _split(data: Evaluated, size: int, draw: int) -> tuple[Chosen, Chosen]:
    order = np.random.default_rng([size, draw]).permutation(len(data.reward))
    # Every search knows the uncached run, from which drops are measured.
    order = np.concatenate([[data.reward.argmax()], order[order != data.reward.argmax()]])
    return order[:size], order[size:][data.of_interest[order[size:]]]


def _by_generation(data: Evaluated, model: str, judged: NDArray[np.bool_]) -> list[float | None]:
    """Of the candidates to judge on, each predicted from the generations before its own."""
    where, guesses, seconds = [], [], []
    for generation in range(1, int(data.generation.max()) + 1):
        seen = np.flatnonzero(data.generation < generation)
        unseen = np.flatnonzero((data.generation == generation) & judged & data.of_interest)
        if len(unseen):
            guess, took = _timed(data, model, seen, unseen)
            where.append(unseen)
            guesses.append(guess)
            seconds.append(took)
    stds = [guess.std for guess in guesses if guess.std is not None]
    joined = Guess(np.concatenate([guess.mean for guess in guesses]), np.concatenate(stds) if stds else None)
    return _judged(data, np.concatenate(where), joined, float(np.mean(seconds)))


def _judged(data: Evaluated, unseen: Chosen, guess: Guess, seconds: float) -> list[float | None]:
    """What the columns of the file say."""
    target = data.target[unseen]
    rank = banded_rank_correlation(-guess.mean, data.reward[unseen], data.cost[unseen], BANDS)
    error = float(np.sqrt(np.mean((guess.mean - target) ** 2)))
    found: list[float | None] = [round(rank, 4), round(error, 4), None, None, round(seconds, 4)]
    if guess.std is not None:
        found[2] = round(interval_coverage(guess.mean, guess.std, target), 4)
        # Mean log density of what was measured: the higher the better.
        z = (target - guess.mean) / guess.std
        found[3] = round(float(np.mean(-0.5 * z**2 - np.log(guess.std) - 0.5 * np.log(2 * np.pi))), 4)
    return found


def _timed(data: Evaluated, model: str, seen: Chosen, unseen: Chosen) -> tuple[Guess, float]:
    start = time.process_time()
    return _guess(data, model, seen, unseen), time.process_time() - start


def _guess(data: Evaluated, model: str, seen: Chosen, unseen: Chosen) -> Guess:
    """What a model that has learned from the seen schedules expects of the unseen ones."""
    if model == OURS:
        surrogate = Surrogate(data.context, spread=data.scale.spread)
        told = surrogate.fit(data.genes[seen], data.reward[seen]).predict(data.genes[unseen])
        return Guess(told.loss, told.loss_std)
    if model == SUM:
        total = np.log(data.drift.sum(axis=(1, 2)) + 1e-3 * data.drift.mean())
        slope, level = np.polyfit(total[seen], data.target[seen], 1)  # changes no rank
        return Guess(level + slope * total[unseen])
    x, y = data.x[seen], data.target[seen]
    if model.endswith(ALONE) and model != TREND:
        return MODELS[model.removesuffix(ALONE)](x, y, data.x[unseen])
    trend = fit_drift_trend(data.drift[seen], y)
    by_trend = trend.predict(data.drift[unseen])
    if model == TREND:
        return Guess(by_trend)
    left = MODELS[model.removeprefix(WITH_TREND)](x, y - trend.predict(data.drift[seen]), data.x[unseen])
    return Guess(by_trend + left.mean, left.std)


def _lightgbm(x: Floats, y: Floats, unseen: Floats) -> Guess:
    import lightgbm

    from surrogate.ensemble import PARAMETERS, ROUNDS

    return Guess(np.asarray(lightgbm.train(PARAMETERS, lightgbm.Dataset(x, y), ROUNDS).predict(unseen, num_threads=1)))


def _ridge(x: Floats, y: Floats, unseen: Floats) -> Guess:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13)))
    return Guess(np.asarray(model.fit(x, y).predict(unseen)))


def _extra_trees(x: Floats, y: Floats, unseen: Floats) -> Guess:
    from sklearn.ensemble import ExtraTreesRegressor

    model = ExtraTreesRegressor(200, max_features=0.33, min_samples_leaf=2, random_state=0)
    return Guess(np.asarray(model.fit(x, y).predict(unseen)))


def _gaussian_process(x: Floats, y: Floats, unseen: Floats) -> Guess:
    """On roots of the features, which are sums that reach over orders of magnitude."""
    import warnings

    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    length = 2 * np.sqrt(x.shape[1])
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(length, (1.0, 1e3), nu=2.5) + WhiteKernel(0.1, (1e-3, 1.0))
    model = make_pipeline(StandardScaler(), GaussianProcessRegressor(kernel, normalize_y=True, random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lengths at the ends of their ranges
        mean, std = model.fit(np.sqrt(x), y).predict(np.sqrt(unseen), return_std=True)
    return Guess(mean, std)


MODELS: dict[str, Fit] = {
    "LightGBM": _lightgbm,
    "ridge": _ridge,
    "extra trees": _extra_trees,
    GAUSSIAN: _gaussian_process,
}


def _names() -> list[str]:
    """Of all models."""
    return [SUM, OURS, TREND, *(f"{WITH_TREND}{name}" for name in MODELS), *(f"{name}{ALONE}" for name in MODELS)]


if __name__ == "__main__":
    typer.run(main)
