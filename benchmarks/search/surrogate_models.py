"""How well models of the reward rank schedules of equal cost that they have not seen, from few evaluated ones.

The schedules are those that earlier searches have evaluated, by the reward ``shapes``, so their rewards are real. Each
model is fitted to a random choice of them and judged on the rest, within the range of interest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.landscapes import LANDSCAPES, load
from benchmarks.machine import RESULTS, machine
from benchmarks.search.yardstick import Yardstick
from ecad_automl.schedules.schedule import Schedule
from surrogate import (
    FeatureContext,
    LogDrop,
    Surrogate,
    banded_rank_correlation,
    features_and_drift,
    fit_drift_trend,
    group_drift,
)

Floats = NDArray[np.float64]
#: (features to learn from, log drops, features to predict) -> predicted log drops.
Fit = Callable[[Floats, Floats, Floats], Floats]

WORK = Path("runs/sample_efficiency")
#: Evaluated schedules to learn from.
SIZES = (24, 48, 96, 200)
BANDS = 8

OURS = "this surrogate: trend and LightGBM, five members"
#: Sums with which nothing is learned: of the drift as it is, and scaled to what it does, see Drift.expected_error.
PLAIN, SCALED = "sum of drift", "sum of scaled drift"
WITH_TREND, ALONE = "trend and ", " alone"


@dataclass(frozen=True)
class Evaluated:
    """What is known of ``n`` evaluated schedules.

    Args:
        context: of the features.
        plain: the same with drift as it is.
        compute: ``(n, steps, slots)`` effective bits.
        reward: ``(n,)``.
        cost: ``(n,)`` GMACs.
        scale: of the log drops.
    """

    context: FeatureContext
    plain: FeatureContext
    compute: NDArray[np.bool_]
    reward: Floats
    cost: Floats
    scale: LogDrop

    @cached_property
    def x(self) -> Floats:
        """``(n, features)``."""
        return features_and_drift(self.compute, self.context)[0]

    @cached_property
    def drift(self) -> Floats:
        """``(n, steps, groups)``."""
        return group_drift(self.compute, self.context)

    @cached_property
    def target(self) -> Floats:
        """``(n,)`` log drops."""
        return self.scale.of(self.reward)

    def predict(self, model: str, seen: NDArray[np.intp], unseen: NDArray[np.intp]) -> Floats:
        """Log drops of the unseen schedules by a model that has learned from the seen ones."""
        if model == OURS:
            surrogate = Surrogate(self.context, spread=self.scale.spread)
            return surrogate.fit(self.compute[seen], self.reward[seen]).predict(self.compute[unseen]).loss
        if model in (PLAIN, SCALED):
            drift = self.drift if model == SCALED else group_drift(self.compute, self.plain)
            total = np.log(drift.sum(axis=(1, 2)) + 1e-3 * drift.mean())
            slope, level = np.polyfit(total[seen], self.target[seen], 1)  # changes no rank
            return np.asarray(level + slope * total[unseen])
        if model.endswith(ALONE) and model != f"trend{ALONE}":
            return MODELS[model.removesuffix(ALONE)](self.x[seen], self.target[seen], self.x[unseen])
        trend = fit_drift_trend(self.drift[seen], self.target[seen])
        by_trend = trend.predict(self.drift[unseen])
        if model == f"trend{ALONE}":
            return by_trend
        left = self.target[seen] - trend.predict(self.drift[seen])
        return by_trend + MODELS[model.removeprefix(WITH_TREND)](self.x[seen], left, self.x[unseen])


def main(landscape: str = "shapes", draws: int = 6, most: int = 1200, work: Path = WORK) -> None:
    """Fit and judge all models, several times for each number of evaluated schedules."""
    data = _evaluated(landscape, work, most)
    of_interest = data.reward > data.scale.uncached - data.scale.spread
    names = [PLAIN, SCALED]
    names += [
        OURS,
        f"trend{ALONE}",
        *(f"{WITH_TREND}{name}" for name in MODELS),
        *(f"{name}{ALONE}" for name in MODELS),
    ]
    figures: dict[str, dict[int, list[tuple[float, float, float]]]] = {name: {} for name in names}
    for size in SIZES:
        for draw in range(draws):
            order = np.random.default_rng([size, draw]).permutation(len(data.reward))
            # Every search knows the uncached run, from which drops are measured.
            order = np.concatenate([[data.cost.argmax()], order[order != data.cost.argmax()]])
            seen, unseen = order[:size], order[size:][of_interest[order[size:]]]
            for name in names:
                start = time.perf_counter()
                found = data.predict(name, seen, unseen)
                seconds = time.perf_counter() - start
                rank = banded_rank_correlation(-found, data.reward[unseen], data.cost[unseen], BANDS)
                error = float(np.sqrt(np.mean((found - data.target[unseen]) ** 2)))
                figures[name].setdefault(size, []).append((rank, error, seconds))
    _report(landscape, figures, len(data.reward), int(of_interest.sum()), draws)


def _lightgbm(x: Floats, y: Floats, unseen: Floats) -> Floats:
    import lightgbm

    from surrogate.ensemble import PARAMETERS, ROUNDS

    return np.asarray(lightgbm.train(PARAMETERS, lightgbm.Dataset(x, y), ROUNDS).predict(unseen, num_threads=1))


def _ridge(x: Floats, y: Floats, unseen: Floats) -> Floats:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return np.asarray(make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13))).fit(x, y).predict(unseen))


def _forest(x: Floats, y: Floats, unseen: Floats) -> Floats:
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(200, max_features=0.33, min_samples_leaf=2, random_state=0)
    return np.asarray(model.fit(x, y).predict(unseen))


def _extra_trees(x: Floats, y: Floats, unseen: Floats) -> Floats:
    from sklearn.ensemble import ExtraTreesRegressor

    model = ExtraTreesRegressor(200, max_features=0.33, min_samples_leaf=2, random_state=0)
    return np.asarray(model.fit(x, y).predict(unseen))


def _gaussian_process(x: Floats, y: Floats, unseen: Floats) -> Floats:
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
        return np.asarray(model.fit(np.sqrt(x), y).predict(np.sqrt(unseen)))


MODELS: dict[str, Fit] = {
    "LightGBM": _lightgbm,
    "ridge": _ridge,
    "random forest": _forest,
    "extra trees": _extra_trees,
    "Gaussian process": _gaussian_process,
}


def _evaluated(landscape: str, work: Path, most: int) -> Evaluated:
    """At most so many of the evaluated schedules, each once, evenly from all searches; the drift is measured anew."""
    from ecad_automl.runtime import measure_drift
    from storage import Store

    evaluator, layout = load(LANDSCAPES[landscape])
    steps = evaluator.settings.steps
    found: dict[Schedule, float] = {}
    folder = work / landscape
    for path in sorted(folder.glob("*.db")):
        with Store.open(path, read_only=True) as store:
            for record in store.evaluations(landscape, scores=False):
                if record.complete:
                    found[Schedule.from_genome(layout, steps, record.genome)] = record.reward
    for path in sorted(folder.glob("*.jsonl")):
        if path.suffixes != [".jsonl"]:
            continue  # latent errors
        for line in path.read_text().splitlines():
            if line.endswith("]"):
                genome, scores = json.loads(line)
                found[Schedule.from_genome(layout, steps, genome)] = float(np.mean(scores))
    chosen = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int))
    schedules = [list(found)[index] for index in chosen]
    drift = measure_drift(evaluator.pipe, lambda: evaluator.generate_some(16), steps=steps)
    yardstick = Yardstick.of(landscape, work)
    context = FeatureContext(layout.block_index, layout.component_index, layout.slot_macs, drift.expected_error())
    return Evaluated(
        context,
        replace(context, drift=drift.distance.astype(np.float64)),
        np.stack([schedule.effective for schedule in schedules]),
        np.array([found[schedule] for schedule in schedules]),
        np.array([schedule.gmacs for schedule in schedules]),
        LogDrop(yardstick.uncached, yardstick.uncached - yardstick.short),
    )


def _report(landscape: str, figures: dict[str, dict[int, list[tuple[float, float, float]]]], *counts: int) -> None:
    schedules, of_interest, draws = counts
    summary: dict[str, Any] = {
        "machine": machine(),
        "landscape": landscape,
        "schedules": schedules,
        "of interest": of_interest,
        "draws": draws,
        "columns": ["rank correlation within bands of equal cost", "error of the log drop", "seconds"],
        "figures": figures,
    }
    lines = ["| model | " + " | ".join(map(str, SIZES)) + " |", "|---" * (len(SIZES) + 1) + "|"]
    for name, by_size in figures.items():
        cells = []
        for size in SIZES:
            ranks, errors, _ = np.array(by_size[size]).T
            cells.append(f"{ranks.mean():.2f} ± {ranks.std(ddof=1) / np.sqrt(len(ranks)):.2f}, {errors.mean():.2f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / f"surrogate_models-{landscape}"
    stem.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n")
    stem.with_suffix(".md").write_text("\n".join(lines) + "\n")
    Console().print("\n".join(lines), highlight=False)


if __name__ == "__main__":
    typer.run(main)
