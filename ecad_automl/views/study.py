"""A study as people look at it: its runs, what they are compared with, and how the search went."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ecad_automl.errors import StudyError
from ecad_automl.judging.recommendation import Scored, recommend
from ecad_automl.schedules.genomes import Genomes
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.run import Kind, RunView


@dataclass(frozen=True)
class GenerationView:
    """What one generation says of the surrogate.

    Args:
        generation: its number, from 0.
        evaluations: evaluated schedules so far.
        rank_correlation: of predicted and measured rewards within bands of equal cost, on candidates that were
            predicted before they were evaluated; None where not known.
        coverage: share of measured rewards inside the 90 % intervals; None where not known.
        surrogate_used: whether the surrogate chose candidates.
    """

    generation: int
    evaluations: int
    rank_correlation: float | None = None
    coverage: float | None = None
    surrogate_used: bool = False


@dataclass(frozen=True)
class ConfirmedFront:
    """What unseen prompts say of a front.

    Args:
        prompts: how many.
        seeds: of each prompt.
        front: what the search chose, the cheapest first.
        others: what was scored beside it, the uncached run too, the cheapest first.
        missing: schedules of the front that were not confirmed yet.
        rank_correlation: Kendall's of search and confirmation over the front; NaN where not known.
        neighbors: pairs of neighbors of the front.
        neighbors_kept: how many of these kept their order.
        sentences: for people.
    """

    prompts: int
    seeds: int
    front: tuple[RunView, ...] = ()
    others: tuple[RunView, ...] = ()
    missing: int = 0
    rank_correlation: float = float("nan")
    neighbors: int = 0
    neighbors_kept: int = 0
    sentences: tuple[str, ...] = ()

    @property
    def survivors(self) -> tuple[RunView, ...]:
        """The part of the front that survives."""
        return tuple(run for run in self.front if run.confirmed is not None and run.confirmed.survives)


@dataclass(frozen=True)
class Recommended:
    """The schedule of a study to take unless one knows better, see :mod:`ecad_automl.judging.recommendation`.

    Args:
        run: it.
        words: why, such as ``2.46x: nothing cheaper is as good; beats 8 steps``.
    """

    run: RunView
    words: str

    def __str__(self) -> str:
        return f"{self.run.label}, {self.words}"


#: Characters of a prompt that fits a line of code.
_SAMPLE = 64


@dataclass(frozen=True)
class StudyView:
    """All that is shown of a study.

    Args:
        name: of the study.
        storage: where its database is, for people.
        identity: what its results depend on: model, prompts, seeds, reward and the like, JSON values.
        genomes: reads what its schedules are known by.
        call: arguments of the pipeline's call that the study's images were made with.
        cost_name: what it minimizes: ``MACs`` or ``latency``.
        cost_unit: its unit, such as ``GMACs per image``.
        runs: every evaluated schedule, oldest first.
        uncached: the run that everything is compared with.
        shorter: uncached runs of fewer steps, in the search, on unseen prompts, or both; the cheapest first.
        floor: the reward from which hypervolume is measured.
        hypervolume: after each evaluation, 1 for the uncached reward at no cost.
        generations: of the search, in order.
        confirmed: what unseen prompts say of the front; None where they were not asked.
    """

    name: str
    storage: str
    identity: Mapping[str, Any]
    genomes: Genomes
    call: Mapping[str, Any]
    cost_name: str
    cost_unit: str
    runs: tuple[RunView, ...]
    uncached: RunView
    shorter: tuple[RunView, ...] = ()
    floor: float = 0.0
    hypervolume: tuple[float, ...] = ()
    generations: tuple[GenerationView, ...] = ()
    confirmed: ConfirmedFront | None = None

    @cached_property
    def front(self) -> tuple[RunView, ...]:
        """The evaluated schedules that no other one beats, the cheapest first."""
        return tuple(sorted(self.of_kind(Kind.FRONT), key=lambda run: run.cost))

    def some_front(self) -> tuple[RunView, ...]:
        """The front, for what cannot be shown without one.

        Raises:
            StudyError: no evaluated schedule meets the constraints of the study.
        """
        if not self.front:
            raise StudyError(
                f"None of the {len(self.runs)} schedules that the study {self.name!r} has evaluated meets its "
                "constraints, so there is no front to show; search on."
            )
        return self.front

    @cached_property
    def recommended(self) -> Recommended | None:
        """The one point to take, by what unseen prompts say where they were asked; None where there is no front."""
        survivors = self.confirmed.survivors if self.confirmed is not None else ()
        confirmed = survivors or tuple(run for run in self.front if run.confirmed is not None)
        points = confirmed or self.front
        shorter = [run for run in self.shorter if run.confirmed is not None] if confirmed else self.searched_shorter
        constraints = tuple(map(str, self.identity.get("constraints", ())))
        found = recommend(list(map(_scored, points)), list(map(_scored, shorter)), constraints)
        return None if found is None else Recommended(points[found.index], found.words)

    @property
    def sample_prompt(self) -> str:
        """The prompt that examples of this study show: its first one that fits a line of code, else the first."""
        return next((text for text in self.prompts if len(text) <= _SAMPLE), self.prompts[0])

    @property
    def telling_front(self) -> tuple[RunView, ...]:
        """The front down to a fifth of the uncached cost: cheaper schedules are so far down that axes leave them out.

        Where hardly anything is that cheap, the cheapest are far down too.
        """
        cheap = max(self.uncached.cost / 5, 1.2 * self.front[0].cost)
        return tuple(run for run in self.front if run.cost >= cheap) or self.front

    @property
    def heuristics(self) -> tuple[RunView, ...]:
        """Published heuristics that are not on the front, oldest first."""
        return self.of_kind(Kind.HEURISTIC)

    @property
    def searched_shorter(self) -> tuple[RunView, ...]:
        """The uncached runs of fewer steps that the search made, the cheapest first."""
        return tuple(run for run in self.shorter if run.difference_text)

    @property
    def reward_name(self) -> str:
        """What is maximized."""
        return str(self.identity["reward"])

    @property
    def prompts(self) -> tuple[str, ...]:
        """Those of the search."""
        return tuple(map(str, self.identity["prompts"]))

    @property
    def layout(self) -> Layout:
        """The slots of its transformer."""
        return self.genomes.layout

    @property
    def steps(self) -> int:
        """Denoising steps of its schedules."""
        return self.genomes.steps

    @cached_property
    def several_steps(self) -> bool:
        """Whether schedules of other numbers of steps were evaluated."""
        return any(run.steps != self.steps for run in self.runs)

    @cached_property
    def _skips(self) -> bool:
        return any(run.outline.skips for run in self.runs)

    @cached_property
    def _unguided(self) -> bool:
        return any(run.outline.unguided for run in self.runs)

    @property
    def timed(self) -> bool:
        """Whether it minimizes latency."""
        return self.cost_name == "latency"

    def of_kind(self, *kinds: Kind) -> tuple[RunView, ...]:
        """Evaluated schedules of some kinds, oldest first."""
        return tuple(run for run in self.runs if run.kind in kinds)

    def schedule(self, run: RunView) -> Schedule:
        """What was run."""
        if run.genome is None:
            return Schedule.all_compute(self.layout, run.steps)
        return self.genomes.schedule(run.genome)

    def figures(self, run: RunView, *, unseen: bool = False) -> dict[str, str]:
        """What tables say of a run, by the headings of their columns; with ``unseen`` also what was confirmed.

        Steps, those that are run, and those with both guidance branches are told where they differ between schedules.
        """
        found = run.confirmed
        confirmed = "" if found is None else f"{found.difference_text}, {found.verdict}"
        timed = {"as fast": f"{run.speedup:.2f}x", "ms": f"{run.cost:.4g}"} if self.timed else {}
        outline = run.outline
        done = {
            "steps": (self.several_steps, outline.steps),
            "run": (self._skips, outline.steps_run),
            "guided": (self._unguided, outline.steps_guided),
            "slots": (True, f"{outline.percent}%"),
        }
        return {
            "trial": "" if run.trial is None else str(run.trial),
            "origin": run.origin,
            **timed,
            "fewer MACs": f"{run.mac_speedup:.2f}x",
            "GMACs": f"{run.gmacs:.2f}",
            **{heading: str(value) for heading, (telling, value) in done.items() if telling},
            "reward": f"{run.reward:.4f}",
            "difference to uncached": run.difference_text,
            **({"on unseen prompts": confirmed} if unseen and self.confirmed else {}),
        }

    def file_name(self, run: RunView) -> str:
        """The name of its exported file without the ending, such as ``shapes-2.13x-trial41``."""
        suffix = run.origin if run.trial is None else f"trial{run.trial}"
        return f"{file_name_of(self.name)}-{run.speedup:.2f}x-{suffix}"

    def trial(self, number: int) -> RunView:
        """The evaluation of an Optuna trial.

        Raises:
            StudyError: the study has none of that trial.
        """
        trials = {run.trial: run for run in self.runs if run.trial is not None}
        if number in trials:
            return trials[number]
        known = f"the trials go from {min(trials)} to {max(trials)}" if trials else "it has no trials yet"
        raise StudyError(f"The study has no evaluated trial {number}; {known}.")


def _scored(run: RunView) -> Scored:
    """By what is best known of it."""
    found = run.confirmed
    if found is not None:
        return Scored(run.origin, run.speedup, found.difference, found.half)
    return Scored(run.origin, run.speedup, run.difference, run.half)


def file_name_of(study: str) -> str:
    """The name of a study as part of a file name: it may hold what separates folders, or leads out of them."""
    return re.sub(r"[^\w.+-]+", "-", study).strip("-.") or "study"


def study_facts(study: StudyView) -> dict[str, str]:
    """Label to text; what follows a line break is an aside."""
    identity, generation, layout = study.identity, study.identity["generation"], study.layout
    stopped, seeds = len(study.of_kind(Kind.STOPPED)), len(identity["seeds"])
    dates = sorted(run.created for run in study.runs)
    first, last = dates[0][:10], dates[-1][:10]
    return {
        "Model": f"{identity['model']}\n{identity['revision']}",
        "Transformer": f"{layout.transformer}\n{len(layout.blocks)} blocks, {len(layout)} slots",
        "Scheduler": f"{identity['scheduler']}\n{study.steps} steps",
        "Images": f"{generation['width']} x {generation['height']} px\nguidance {generation['guidance_scale']:g}",
        "Precision": str(identity["dtype"]),
        "Prompts": f"{len(study.prompts)}\n{seeds} seed{'s' * (seeds != 1)} each",
        "Reward": study.reward_name,
        "Cost": f"{study.cost_name}\n{study.uncached.cost:.4g} {study.cost_unit} uncached",
        **({"Constraints": ", ".join(map(str, identity["constraints"]))} if "constraints" in identity else {}),
        "Evaluated": f"{len(study.runs)} schedules" + (f"\n{stopped} of them stopped early" if stopped else ""),
        "Searched on": first if first == last else f"{first} to {last}",
    }
