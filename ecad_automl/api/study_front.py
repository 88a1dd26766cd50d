"""The front of a study as an object: look through it, choose from it, export it. Imports neither torch nor Optuna."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

from ecad_automl.api.export import export_run
from ecad_automl.api.stored import read_study
from ecad_automl.errors import EcadError, FileError
from ecad_automl.hub import save_index
from ecad_automl.schedules.genomes import write_genome
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import load_schedule
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView
from surrogate.pareto import cheapest_within_drop, knee, most_reward_at_speedup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ecad_automl.rewards import PairedReward, Reward

#: Of a data frame.
_COLUMNS = (
    "trial",
    "origin",
    "reward",
    "difference",
    "standard_error",
    "half",
    "steps",
    "gmacs",
    "mac_speedup",
    "speedup",
    "latency_ms",
    "complete",
    "feasible",
)


@dataclass(frozen=True, kw_only=True, repr=False)
class FrontPoint(RunView):
    """An evaluated schedule with its figures, see :class:`~ecad_automl.views.run.RunView`.

    Args:
        schedule: apply it with :func:`~ecad_automl.apply_schedule`.
    """

    schedule: Schedule

    def __str__(self) -> str:
        return self.summary

    def __repr__(self) -> str:
        told = f"{self.label}, {self.steps} steps, {self.savings}, reward {self.difference_text} to uncached"
        return f"FrontPoint({told})"

    def _repr_html_(self) -> str:
        from ecad_automl.views.notebook import schedule_html

        return schedule_html(self.schedule, str(self))


class Front(Sequence[FrontPoint]):
    """The schedules of a study that no other one beats, the cheapest first.

    Made by :func:`~ecad_automl.search` or :meth:`load`. It is the front at that moment: where a search goes
    on, load it again.

    Args:
        study: what the database holds.
        storage: where it is.
    """

    def __init__(self, study: StudyView, storage: str | Path) -> None:
        self._study = study
        self._storage = storage
        self._points = tuple(map(self._point, study.front))

    @classmethod
    def load(cls, storage: str | Path, study: str | None = None) -> Self:
        """The front of a study that was searched before; needs no model and imports no torch.

        Args:
            storage: path or URL of the study database.
            study: its name; may be left out where the file holds just one.

        Raises:
            StorageError: the database is missing, damaged or cannot be reached.
            StudyError: there is no such study, none was named where there are several, or it has no evaluation yet.
        """
        return cls(read_study(storage, study), storage)

    def __len__(self) -> int:
        return len(self._points)

    @overload
    def __getitem__(self, index: int) -> FrontPoint: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[FrontPoint, ...]: ...

    def __getitem__(self, index: int | slice) -> FrontPoint | tuple[FrontPoint, ...]:
        return self._points[index]

    def __iter__(self) -> Iterator[FrontPoint]:
        return iter(self._points)

    def __repr__(self) -> str:
        return f"Front({self.study!r}, {len(self)} of {len(self._study.runs)} evaluated schedules)"

    @property
    def study(self) -> str:
        """Name of the study."""
        return self._study.name

    @property
    def storage(self) -> str | Path:
        """The study database, as it was given."""
        return self._storage

    @property
    def reward_name(self) -> str:
        """What was maximized."""
        return self._study.reward_name

    @property
    def cost_name(self) -> str:
        """What was minimized: "MACs" or "latency"."""
        return self._study.cost_name

    @cached_property
    def uncached(self) -> FrontPoint:
        """The run that everything is compared with."""
        return self._point(self._study.uncached)

    @cached_property
    def evaluations(self) -> tuple[FrontPoint, ...]:
        """All evaluated schedules, in the order of their evaluation."""
        return tuple(map(self._point, self._study.runs))

    def at_speedup(self, speedup: float) -> FrontPoint:
        """The best schedule that is at least so many times cheaper than the uncached run in what the study minimizes.

        Raises:
            StudyError: none is that cheap.
        """
        return self._points[most_reward_at_speedup(*self._figures, self._study.uncached.cost, speedup)]

    def within_drop(self, drop: float) -> FrontPoint:
        """The cheapest schedule whose mean reward is at most so much below that of the uncached run.

        Raises:
            StudyError: every schedule loses more.
        """
        drops = [0.0 - point.difference for point in self._points]
        return self._points[cheapest_within_drop(*self._figures, drops, drop)]

    def knee(self) -> FrontPoint:
        """The schedule where the front bends most.

        Raises:
            StudyError: the front is empty.
        """
        return self._points[knee(*self._figures)]

    @property
    def recommended(self) -> FrontPoint | None:
        """The schedule to take unless one knows better; None where the front is empty.

        By the rule of :mod:`ecad_automl.judging.recommendation`: the largest saving that unseen prompts, or else the
        intervals of the search, do not tell from the uncached run; with constraints, the largest that keeps them.
        """
        found = self._study.recommended
        return None if found is None else self._point(found.run)

    @property
    def recommendation(self) -> str:
        """Why, such as ``2.46x: nothing cheaper is as good; beats 8 steps``; empty where the front is."""
        found = self._study.recommended
        return "" if found is None else found.words

    def plot(self, path: str | Path | None = None) -> Figure:
        """The front beside heuristics, runs of fewer steps and all else that was evaluated.

        Args:
            path: the PNG file to write, if any.

        Returns:
            A matplotlib figure, which notebooks show.

        Raises:
            EcadError: the file cannot be written.
        """
        from ecad_automl.views.plots import plot_front

        return plot_front(None if path is None else Path(path), self._study)

    def export(self, folder: str | Path, points: FrontPoint | Sequence[FrontPoint] | None = None) -> list[Path]:
        """Write schedules as JSON files, each with what was measured under it, confirmed figures included.

        The whole front gets an index beside it, ``index.json``, as of ``ecad-automl export``.

        Args:
            folder: where the files go; made where it does not exist.
            points: which schedules of the study; by default the whole front.

        Returns:
            The files, in the order of the points.

        Raises:
            EcadError: a file cannot be written.
        """
        chosen = [points] if isinstance(points, FrontPoint) else self._points if points is None else points
        # Confirmed figures may be newer than this front.
        now = {run.genome: run for run in read_study(self._storage, self.study).runs}
        try:
            paths = [
                export_run(self._study, now[write_genome(point.schedule, self._study.uncached.steps)], Path(folder))
                for point in chosen
            ]
        except OSError as error:
            raise FileError(
                f"The folder {folder} cannot be written ({error.strerror}); choose another place."
            ) from error
        except KeyError as error:
            raise EcadError(
                f"A schedule to export is not of the study {self.study!r}; give points of its front or evaluations."
            ) from error
        if points is None and paths:
            save_index(folder, {path.name: load_schedule(path) for path in paths})
        return paths

    def to_pandas(self, *, evaluations: bool = False) -> Any:
        """A data frame of pandas with a row per schedule.

        Args:
            evaluations: of all evaluated schedules instead of the front.

        Raises:
            EcadError: pandas is not installed.
        """
        try:
            import pandas as pd  # type: ignore[import-untyped]
        except ImportError as error:
            raise EcadError("A data frame needs pandas; install it with: pip install pandas") from error
        points = self.evaluations if evaluations else self._points
        return pd.DataFrame({name: [getattr(point, name) for point in points] for name in _COLUMNS})

    def confirm(
        self,
        pipe_or_model: Any,
        prompts: Sequence[str] | None = None,
        *,
        calls: Sequence[Mapping[str, Any]] | None = None,
        seeds: Sequence[int] | None = None,
        reward: str | Reward | PairedReward | Callable[..., Any] | None = None,
        baselines: bool = True,
        batch_size: int = 8,
        progress: bool = True,
    ) -> Self:
        """Score the front again, on prompts or calls and seeds that the search never saw, as ``ecad-automl confirm``.

        Args:
            pipe_or_model: what was searched, as for :func:`~ecad_automl.search`.
            prompts: at least two that the search did not use.
            calls: the same of calls, where it was searched with such.
            seeds: of noise; by default the next unused one.
            reward: that of the study, where its name does not tell.
            baselines: whether to score FORA and runs of fewer steps too.
            batch_size: images per pipeline call.
            progress: whether to show how it goes.

        Returns:
            The front with what was found, see :attr:`FrontPoint.confirmed`.

        Raises:
            EcadError: the search saw some of it, or it was searched with something else.
        """
        from ecad_automl.api.confirming import confirm_study

        of = self._study.identity
        confirm_study(
            self._storage,
            self.study,
            of,
            pipe_or_model,
            prompts,
            calls=calls,
            seeds=[max(of["seeds"]) + 1] if seeds is None else seeds,
            reward=reward or self.reward_name,
            baselines=baselines,
            batch_size=batch_size,
            progress=progress,
        )
        return type(self).load(self._storage, self.study)

    def same_steps(self) -> Self:
        """The front among runs of the study's own number of steps, compared with such runs alone.

        It is of the study as it is now.

        Raises:
            StorageError: the database is missing, damaged or cannot be reached.
            StudyError: no such run was evaluated.
        """
        return type(self)(read_study(self._storage, self.study, same_steps=True), self._storage)

    @property
    def _figures(self) -> tuple[list[float], list[float]]:
        """Rewards and costs."""
        return [point.reward for point in self._points], [point.cost for point in self._points]

    def _point(self, run: RunView) -> FrontPoint:
        return FrontPoint(schedule=self._study.schedule(run), **vars(run))

    def _repr_html_(self) -> str:
        from ecad_automl.views.notebook import front_html

        return front_html(self._study)
