"""How much the quick front depends on the two constants of damping and on the rule for the scheduler's response.

Schedules of the front choose steps and damping for outputs that bear errors of ``c a^p`` where uses move the latents by
``a`` (:mod:`studies.forecast_seeds`), and count errors by what a simple transformer makes of them in the latents
(:mod:`ecad_automl.runtime.scheduler_response`). Both were chosen by trial. Here the front is made with others too,
and its loss measured on captions of searches on which nothing was chosen; held-out captions are left alone.

    python -m benchmarks.search.damping_constants
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from torch import Tensor

from benchmarks.code import made_by
from benchmarks.machine import RESULTS, machine
from benchmarks.search.beds import BEDS, Bed, load_bed, score
from benchmarks.search.protocol import SPEEDUPS
from benchmarks.search.quick import IMAGES, at_savings
from ecad_automl.bundled import BUNDLED
from ecad_automl.runtime import measure_drift, scheduler_response
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from studies.forecast_seeds import NOISE, ForecastSeeds, quick_schedules

__all__ = ["table"]

#: Captions on which the constants were chosen.
_SEEN = 24
#: Of the other captions, none that searches have.
_NOISES = (5,)

Constants = tuple[float, float]
_FACTORS, _POWERS = (NOISE[0] / 3, NOISE[0], 3 * NOISE[0]), (2.0, NOISE[1], 3.0)
#: Computed outputs that bear no errors, and the grid.
_CONSTANTS: tuple[Constants, ...] = ((0.0, NOISE[1]), *product(_FACTORS, _POWERS))

Rule = Callable[[Any, Tensor, Tensor], Tensor]
_chosen: Rule = scheduler_response._output_of_simple


def _variance_one(scheduler: Any, latents: Tensor, timestep: Tensor) -> Tensor:
    """In flow matching too the best guess for independent values of variance 1."""
    if "FlowMatch" not in type(scheduler).__name__:
        return _chosen(scheduler, latents, timestep)
    time = float(timestep) / float(scheduler.config.num_train_timesteps)
    return latents.mul((2 * time - 1) / (time**2 + (1 - time) ** 2))


def _still(_scheduler: Any, latents: Tensor, _timestep: Tensor) -> Tensor:
    """A transformer that does not react."""
    return latents.mul(0.0)


RULES: Mapping[str, Rule] = {"chosen": _chosen, "variance 1": _variance_one, "no reaction": _still}


def main(
    bed: Annotated[list[str] | None, typer.Option(help="Which beds; shapes and flow-shapes by default.")] = None,
    captions: int = 16,
    results: Path = RESULTS,
) -> None:
    """Measure everything anew, and write the file."""
    path = results / "damping_constants.json"
    found: dict[str, Any] = json.loads(path.read_text())["beds"] if path.exists() and bed else {}
    # Before anything is written, which makes the checkout differ from its commit.
    made_of = {
        name: made_by(("benchmarks.search.damping_constants",), BUNDLED[BEDS[name].model].weights)
        for name in bed or ("shapes", "flow-shapes")
    }
    for name, made in made_of.items():
        about = {"captions": captions, "after": _SEEN, "noises": list(_NOISES), "machine": machine()}
        found[name] = {**made, **about, "losses": _losses(BEDS[name], name, captions)}
        path.write_text(json.dumps({"savings": SPEEDUPS, "beds": found}, indent=1) + "\n")
        Console().print(f"{name}\n\n" + "\n".join(table(found[name]["losses"])), highlight=False)


def _losses(bed: Bed, name: str, captions: int) -> dict[str, Any]:
    """By rule and constants, the mean and the median loss at each saving."""
    evaluator, layout = load_bed(bed, split="calibration", captions=captions, noises=_NOISES, after=_SEEN)
    fronts = dict(_fronts(bed, layout))
    schedules = dict.fromkeys(schedule for front in fronts.values() for schedule in front)
    loss = {
        schedule: score(evaluator, evaluator.generate(schedule)).loss.mean(axis=1)
        for schedule in track(schedules, f"{name}: {len(schedules)} schedules", console=Console(stderr=True))
    }
    return {
        f"{rule}, {factor:g} a^{power:g}": {
            "mean": [round(float(loss[schedule].mean()), 5) for schedule in front],
            "median": [round(float(np.median(loss[schedule])), 5) for schedule in front],
        }
        for (rule, (factor, power)), front in fronts.items()
    }


def _fronts(bed: Bed, layout: Layout) -> Iterator[tuple[tuple[str, Constants], list[Schedule]]]:
    """By rule and constants, the schedule of the quick front at each saving."""
    calibration, _ = load_bed(bed, split="calibration", captions=IMAGES, noises=(0,))
    for name, rule in RULES.items():
        with mock.patch.object(scheduler_response, "_output_of_simple", rule):
            steps = calibration.settings.steps
            drift = measure_drift(calibration.pipe, lambda: calibration.generate_some(IMAGES), steps=steps)
        forecasts = Forecasts(drift, layout.component_index)
        for constants in _CONSTANTS:
            front = quick_schedules(ForecastSeeds(forecasts, layout, noise=constants), layout)
            yield (name, constants), at_savings([each for each, _ in front])


def table(losses: Mapping[str, Mapping[str, list[float]]]) -> list[str]:
    """Mean losses over those of the chosen constants and rule, in Markdown; last their geometric mean over savings.

    Of the other rules those with the chosen constants are listed, unless they come out as the chosen one does, as where
    velocity is predicted.
    """
    constants = f"{NOISE[0]:g} a^{NOISE[1]:g}"
    chosen = np.array(losses[f"chosen, {constants}"]["mean"])
    heads = [f"{speedup:g}x" for speedup in SPEEDUPS]
    lines = [f"| response, errors | {' | '.join(heads)} | all |", f"|---|{'---|' * (len(heads) + 1)}"]
    for name, found in losses.items():
        rule, _, tried = name.partition(", ")
        if rule != "chosen" and (tried != constants or found == losses[f"chosen, {constants}"]):
            continue
        ratios = np.array(found["mean"]) / chosen
        cells = [f"{ratio:.2f}" for ratio in (*ratios, np.exp(np.log(ratios).mean()))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    typer.run(main)
