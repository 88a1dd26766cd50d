"""A front of schedules from one uncached run: for whoever does not want to search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ecad_automl.api.faults import Faults
from ecad_automl.api.settings import SearchFile
from ecad_automl.errors import EvaluationError, OptionError, PromptError
from ecad_automl.gallery import is_builtin
from ecad_automl.hub import load_pretrained
from ecad_automl.judging.recommendation import Recommendation, Scored, recommend, recommend_unscored
from ecad_automl.judging.statistics import half_width
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import (
    Measured,
    ScheduleMetadata,
    relevant_scheduler_config,
    save_schedule,
    software_versions,
)
from ecad_automl.schedules.whole_steps import whole_steps_of
from ecad_automl.wording import option
from studies.config import Deploy

if TYPE_CHECKING:
    from ecad_automl.judging.evaluation import Evaluation, Evaluator
    from ecad_automl.models import LoadedModel
    from ecad_automl.rewards import PairedReward, Reward
    from ecad_automl.runtime.given import Given

_CONFIDENCE = 0.95
#: Images that are made unless something else is said.
IMAGES = 8
_ONE_STEP = "A run of one step has nothing to leave out; ask for more steps."


@dataclass(frozen=True, eq=False, repr=False)
class QuickPoint:
    """One schedule of a quick front.

    Args:
        name: of it, such as ``quick-2.00x``.
        schedule: it.
        predicted_error: to expect of it, see :meth:`studies.forecast_seeds.ForecastSeeds.predicted_error`: 0 for none;
            twice as much is worse, but how it looks is not known before an image is made.
        checked: what images under it were worth; None where none were made.
    """

    name: str
    schedule: Schedule
    predicted_error: float
    checked: Evaluation | None = None

    def __repr__(self) -> str:
        return f"QuickPoint({self.name}, {self.speedup:.2f}x fewer MACs, expected error {self.predicted_error:.2g})"

    @property
    def scored(self) -> Scored:
        """What images under it were worth.

        Raises:
            ValueError: none were made.
        """
        if self.checked is None:
            raise ValueError(f"{self.name} was not checked")
        found, prompts = self.checked.difference, len(self.checked.scores)
        half = half_width(found.standard_error, prompts) if prompts > 1 else None
        return Scored(self.name, self.speedup, found.mean, half)

    @property
    def speedup(self) -> float:
        """How many times fewer MACs than the uncached run."""
        return self.schedule.mac_speedup

    @property
    def action(self) -> str:
        """What it does, in words."""
        schedule = self.schedule
        mask = whole_steps_of(schedule)
        if mask is not None and schedule.effective[~mask].any():
            return f"computes {int(mask.sum())} of {schedule.steps} steps, the first block alone in the others"
        said = []
        if schedule.skip.any():
            forecast = int(schedule.forecast[:, -1].sum())
            said.append(f"skips {int(schedule.skip.sum())} of {schedule.steps} steps, {forecast} by forecast")
        reused = schedule.used[:, :-1]
        if reused.any():
            share = schedule.forecast[:, :-1].sum() / reused.sum()
            said.append(f"computes {schedule.effective.mean():.0%} of all parts, forecasts {share:.0%} of the others")
        if not schedule.guidance.is_full:
            said.append(schedule.guidance.told)
        return "; ".join(said) or "computes everything"


@dataclass(frozen=True, eq=False, repr=False)
class QuickFront:
    """Schedules that no other one beats by predicted error and MACs, from dear to cheap."""

    points: tuple[QuickPoint, ...]
    metadata: ScheduleMetadata
    reward: str

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[QuickPoint]:
        return iter(self.points)

    def __repr__(self) -> str:
        return f"QuickFront({len(self)} schedules, up to {max(point.speedup for point in self):.2f}x fewer MACs)"

    @cached_property
    def _recommendation(self) -> Recommendation | None:
        checked = [index for index, point in enumerate(self.points) if point.checked is not None]
        if not checked:
            return recommend_unscored([point.speedup for point in self], [point.predicted_error for point in self])
        found = recommend([self.points[index].scored for index in checked])
        return None if found is None else replace(found, index=checked[found.index])

    @property
    def recommended(self) -> QuickPoint | None:
        """The schedule to take unless one knows better; None where there are none.

        Of those that were checked, the largest saving that the intervals do not tell from the uncached run; where none
        was, the largest of which little error is expected, see :mod:`ecad_automl.judging.recommendation`.
        """
        return None if self._recommendation is None else self.points[self._recommendation.index]

    @property
    def recommendation(self) -> str:
        """Why, in words; empty where there are no schedules."""
        return "" if self._recommendation is None else self._recommendation.words

    def at(self, speedup: float) -> Schedule:
        """The schedule of least predicted error that saves at least so much.

        Args:
            speedup: how many times fewer MACs.

        Raises:
            OptionError: none saves as much.
        """
        for point in self.points:
            if point.speedup >= speedup * (1 - 1e-6):
                return point.schedule
        most = self.points[-1].speedup
        raise OptionError(f"A speedup of {speedup:g} was asked for, but the front ends at {most:.2f}; ask for less.")

    def save(self, folder: str | Path) -> list[Path]:
        """Write a schedule file for each, named after its speedup.

        Raises:
            FileError: a file cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for point in self.points:
            objectives = {
                "predicted_error": Measured(value=point.predicted_error),
                "gmacs": Measured(value=point.schedule.gmacs, unit="GMAC"),
                "mac_speedup": Measured(value=point.speedup),
                **_objectives(point.checked),
            }
            about = self.metadata.model_copy(update={"name": point.name, "objectives": objectives})
            if point.checked is not None:
                about = about.model_copy(update={"reward": self.reward})
            paths.append(folder / f"{point.name}.json")
            save_schedule(paths[-1], point.schedule, about)
        return paths


def _objectives(checked: Evaluation | None) -> dict[str, Measured]:
    if checked is None:
        return {}
    found, samples = checked.difference, checked.scores.size
    difference = Measured(value=found.mean, samples=samples)
    if len(checked.scores) > 1:
        half = half_width(found.standard_error, len(checked.scores))
        difference = Measured(
            value=found.mean, low=found.mean - half, high=found.mean + half, confidence=_CONFIDENCE, samples=samples
        )
    return {"reward": Measured(value=checked.reward, samples=samples), "reward_difference": difference}


def quick(
    pipe_or_model: Any,
    prompts: Sequence[str] = (),
    *,
    calls: Sequence[Mapping[str, Any]] | None = None,
    images: int = IMAGES,
    fit: bool = True,
    check: int = 0,
    reward: str | Reward | PairedReward | Callable[..., Any] = "fidelity",
    scheduler: str | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    height: int | None = None,
    width: int | None = None,
    batch_size: int = 8,
    seed: int = 0,
    deploy: Deploy | None = None,
    like: Given | None = None,
) -> QuickFront:
    """A whole front of schedules in a few times the time of the images that it makes: no schedule is scored.

    One uncached run over a few prompts tells how outputs move from step to step. From this follow, without an image,
    the weights that forecast them, the errors to expect, and for each number of steps or of computed parts the best
    choice of them. A search does better where it has time; it starts from the same schedules.

    Args:
        pipe_or_model: a diffusers pipeline, on its device; the name of a model ("shapes", a folder or a hub id); or
            what :func:`~ecad_automl.load_model` gave.
        prompts: texts; some of them are taken where there are more than images.
        calls: in place of prompts, arguments of a pipeline's calls, as for :func:`~ecad_automl.search`.
        images: how many to make uncached.
        fit: whether what the scheduler is given is fitted under each schedule, to the uncached runs of four further
            images, see :mod:`ecad_automl.runtime.fitted`. It takes the time of these images under every schedule, and
            loses much less. A pipeline that cannot be watched so goes without, as do schedules for other engines.
        check: of how many schedules, spread over the front, to make images too and score them against these.
        reward: what scores them, as for :func:`~ecad_automl.search`.
        scheduler: class of diffusers' schedulers; by default the model's own.
        steps: denoising steps; by default as the pipeline is commonly called, as are the following three.
        guidance_scale: guidance.
        height: pixels.
        width: pixels.
        batch_size: images per pipeline call.
        seed: of the noise.
        deploy: "whole-steps" gives schedules alone that other engines run too, see :func:`~ecad_automl.search`.
        like: a schedule of another number of steps, as for :func:`~ecad_automl.apply_schedule`. The front is then this
            one alone, moved to as many as are asked for by :func:`~ecad_automl.schedules.transfer.move_schedule`, with
            weights of its forecasts from these images.

    Raises:
        OptionError: a number is out of range.
        EcadError: the model is not supported, or there are no prompts.
    """
    size = {"steps": steps, "guidance_scale": guidance_scale, "height": height, "width": width}
    faults = Faults()
    if calls is not None and (isinstance(pipe_or_model, str | Path) or prompts or any(size.values())):
        faults.add(OptionError("Calls say all that a pipeline is called with; give the pipeline and calls alone."))
    if not prompts and not calls:
        faults.add(PromptError("There are no prompts; give a few texts such as the model is for."))
    numbers = {**size, "batch_size": batch_size, "seed": seed}
    check_quick(faults, numbers, images=images, check=check, reward=reward, deploy=deploy, like=like)
    faults.tell()
    texts = list(dict.fromkeys(prompts)) if not isinstance(prompts, str) else [prompts]

    from ecad_automl.api.given_model import as_model
    from ecad_automl.api.rewards import as_reward
    from ecad_automl.judging.evaluation import Evaluator
    from ecad_automl.judging.threads import enough_threads
    from ecad_automl.models import load_model, model_layout

    if calls is not None:
        calls = calls[:: max(1, len(calls) // images)][:images]
    named = isinstance(pipe_or_model, str | Path)
    model = load_model(str(pipe_or_model)) if named else as_model(pipe_or_model, calls)
    model = model.with_scheduler(scheduler).with_settings(
        steps=steps, guidance_scale=guidance_scale, height=height, width=width
    )
    if model.settings.steps < 2:
        raise EvaluationError(_ONE_STEP)
    # Different noise for each image, or few prompts would tell the same.
    some = list(model.calls.names) if model.calls else texts[:: max(1, len(texts) // images)][:images]
    seeds = range(seed, seed + max(1, images // len(some)))
    scorer = as_reward(reward)
    layout = model_layout(model)
    evaluator = Evaluator(
        model.pipe, some, list(seeds), scorer, model.settings, batch_size=batch_size, calls=model.calls
    )
    with evaluator, enough_threads(evaluator, layout.step_macs):
        points = _points(model, layout, evaluator, deploy, like)
        if fit and deploy is None and evaluator.why_not_fitted() is None:
            points = [replace(point, schedule=evaluator.fitted(point.schedule)) for point in points]
        if check:
            points = _checked(points, evaluator, check)
    return QuickFront(tuple(points), _about(model), scorer.name)


def check_quick(
    faults: Faults,
    numbers: Mapping[str, float | None],
    *,
    images: int,
    check: int,
    reward: Any,
    deploy: str | None,
    like: Any,
) -> None:
    """Note what is wrong with arguments of :func:`quick`, before anything is loaded; ``numbers`` are the others."""
    SearchFile.from_options(numbers, faults)
    if numbers["steps"] == 1:
        faults.add(EvaluationError(_ONE_STEP))
    faults.rewards([reward] if check and isinstance(reward, str) else [])
    if deploy not in (None, *get_args(Deploy)):
        expected = " or ".join(map(repr, get_args(Deploy)))
        faults.add(OptionError(f"{option('deploy')} is {deploy!r}, but {expected} is expected."))
    elif deploy is not None and like is not None:
        faults.add(OptionError("A schedule to move is what it is, so leave deploy out."))
    if images < 1 or check < 0:
        faults.add(OptionError(f"There are {images} images and {check} checks; at least 1 and 0 are needed."))
    if isinstance(like, str | Path) and not is_builtin(like):
        with faults.noted():
            load_pretrained(like)


def _points(
    model: LoadedModel, layout: Layout, evaluator: Evaluator, deploy: Deploy | None, like: Given | None
) -> list[QuickPoint]:
    """The front by predicted error and MACs, or what stands in its place, each under a name of its own."""
    front: list[QuickPoint] = []
    names: dict[str, int] = {}
    for schedule, error in _found(model, layout, evaluator, deploy, like):
        name = f"quick-{schedule.mac_speedup:.2f}x"
        names[name] = names.get(name, 0) + 1
        if names[name] > 1:
            name = f"{name}-{names[name]}"
        front.append(QuickPoint(name, schedule, error))
    return front


def _found(
    model: LoadedModel, layout: Layout, evaluator: Evaluator, deploy: Deploy | None, like: Given | None
) -> Sequence[tuple[Schedule, float]]:
    """Schedules, and what error is predicted of each: what is best of all there are, of masks, or the given one."""
    from ecad_automl.runtime import measure_drift
    from ecad_automl.runtime.given import schedule_of
    from ecad_automl.schedules.forecast import Forecasts
    from ecad_automl.schedules.guidance_errors import guidance_errors
    from ecad_automl.schedules.transfer import move_schedule
    from studies.deployed import quick_masks
    from studies.forecast_seeds import ForecastSeeds, quick_schedules

    steps = model.settings.steps
    drift = measure_drift(evaluator.pipe, lambda: evaluator.reference_images, steps=steps)
    forecasts = Forecasts(drift, layout.component_index)
    guidance = None if deploy else guidance_errors(forecasts, model.settings.classifier_free_guidance)
    seeds = ForecastSeeds(forecasts, layout, guidance)
    if like is not None:
        moved = move_schedule(schedule_of(like, layout)[0], layout, steps, forecasts)
        return [(moved, seeds.predicted_error(moved))]
    return quick_schedules(seeds, layout) if deploy is None else quick_masks(drift, layout, seeds)


def _checked(points: list[QuickPoint], evaluator: Evaluator, count: int) -> list[QuickPoint]:
    """With so many of them evaluated, spread evenly over the front."""
    import numpy as np

    chosen = set(np.linspace(0, len(points) - 1, min(count, len(points))).round().astype(int).tolist())
    return [
        replace(point, checked=evaluator.evaluate(point.schedule)) if index in chosen else point
        for index, point in enumerate(points)
    ]


def _about(model: LoadedModel) -> ScheduleMetadata:
    """What all schedules of the front are for."""
    pipe, settings = model.pipe, model.settings
    return ScheduleMetadata(
        model=model.name,
        revision=model.revision,
        scheduler=type(pipe.scheduler).__name__,
        scheduler_config=relevant_scheduler_config(pipe.scheduler.config),
        height=settings.height,
        width=settings.width,
        guidance_scale=settings.guidance_scale,
        call=settings.call_arguments(),
        dtype=str(pipe.transformer.dtype).removeprefix("torch."),
        origin="quick",
        versions=software_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
