"""The front of a study as an object: look through it, choose from it, export it. Imports neither torch nor Optuna."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

from ecad_automl.api.export import export_record
from ecad_automl.api.stored import StoredStudy, read_study
from ecad_automl.errors import EcadError, FileError
from ecad_automl.hub import save_index
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import load_schedule
from storage import BaselineRecord, EvaluationRecord, Store
from studies.confirmation import Verdict, load_confirmation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Front", "FrontPoint"]


@dataclass(frozen=True)
class FrontPoint:
    """An evaluated schedule.

    Args:
        schedule: apply it with :func:`~ecad_automl.apply_schedule`.
        trial: number of its Optuna trial; None for runs that have none.
        origin: where it came from: the name of a heuristic, ``drift``, ``bred``, ...
        reward: mean reward; higher is better.
        difference: mean paired difference of the reward to the uncached run, on the same prompts and noise.
        standard_error: of that difference, over prompts; NaN where there is one prompt.
        gmacs: multiply-accumulates of the transformer over a run, in 10^9, for one image.
        mac_speedup: how many times fewer of them than in the uncached run.
        speedup: how many times cheaper than the uncached run in what the study minimizes.
        latency_ms: milliseconds of the transformer for one image, as the study's latency model has it; None where the
            study minimizes MACs.
        complete: False where the evaluation was stopped after part of the images; reward and difference are then what
            was to be expected.
        feasible: whether it meets the constraints of the study.
    """

    schedule: Schedule
    trial: int | None
    origin: str
    reward: float
    difference: float
    standard_error: float
    gmacs: float
    mac_speedup: float
    speedup: float
    latency_ms: float | None = None
    complete: bool = True
    feasible: bool = True

    def __str__(self) -> str:
        spread = "" if math.isnan(self.standard_error) else f" ± {1.96 * self.standard_error:.4f}"
        name = self.origin if self.trial is None else f"trial {self.trial} ({self.origin})"
        timed = "" if self.latency_ms is None else f"{self.speedup:.2f}x as fast, "
        return f"{name}: {timed}{self.mac_speedup:.2f}x fewer MACs, reward {self.difference:+.4f}{spread} to uncached"

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

    def __init__(self, study: StoredStudy, storage: str | Path) -> None:
        self._study = study
        self._storage = storage
        self._records = study.front()
        self._points = tuple(self._point(record) for record in self._records)

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
        return f"Front({self.study!r}, {len(self)} of {len(self._study.evaluations)} evaluated schedules)"

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
        return str(self._study.identity["reward"])

    @property
    def cost_name(self) -> str:
        """What was minimized: "MACs" or "latency"."""
        return self._study.cost.name

    @cached_property
    def uncached(self) -> FrontPoint:
        """The run that everything is compared with."""
        return self._point(self._study.uncached)

    @cached_property
    def evaluations(self) -> tuple[FrontPoint, ...]:
        """All evaluated schedules, in the order of their evaluation."""
        return tuple(self._point(record) for record in self._study.evaluations)

    def at_speedup(self, speedup: float) -> FrontPoint:
        """The best schedule that is at least so many times cheaper than the uncached run in what the study minimizes.

        Raises:
            StudyError: none is that cheap.
        """
        return self._point(self._study.at_speedup(self._records, speedup))

    def within_drop(self, drop: float) -> FrontPoint:
        """The cheapest schedule whose mean reward is at most so much below that of the uncached run.

        Raises:
            StudyError: every schedule loses more.
        """
        return self._point(self._study.within_drop(self._records, drop))

    def knee(self) -> FrontPoint:
        """The schedule where the front bends most.

        Raises:
            StudyError: the front is empty.
        """
        return self._point(self._study.knee(self._records))

    def plot(self, path: str | Path | None = None) -> Figure:
        """The front beside heuristics, runs of fewer steps and all else that was evaluated.

        Args:
            path: the PNG file to write, if any.

        Returns:
            A matplotlib figure, which notebooks show.

        Raises:
            EcadError: the file cannot be written.
        """
        from ecad_automl.api.plot import draw_front

        return draw_front(self._study, None if path is None else Path(path))

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
        with Store.open(self._storage, read_only=True) as store:
            confirmation = load_confirmation(store, self.study)
        verdicts: dict[str, Verdict] = {}
        if confirmation is not None:
            verdicts = {verdict.run.key: verdict for verdict in confirmation.verdicts.all}
        genomes = [point.schedule.to_hex() for point in chosen]
        records = {record.genome: record for record in self._study.evaluations}
        try:
            paths = [
                export_record(self._study, records[genome], Path(folder), verdicts.get(genome)) for genome in genomes
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
        names = [item.name for item in fields(FrontPoint) if item.name != "schedule"]
        return pd.DataFrame({name: [getattr(point, name) for point in points] for name in names})

    def _point(self, record: EvaluationRecord | BaselineRecord) -> FrontPoint:
        study = self._study
        return FrontPoint(
            *self._named(record),
            reward=record.reward,
            difference=0.0 - record.reward_drop,  # not -0.0
            standard_error=math.nan if record.reward_drop_se is None else record.reward_drop_se,
            gmacs=record.gmacs,
            mac_speedup=study.uncached.gmacs / record.gmacs,
            speedup=study.speedup(record),
            latency_ms=record.latency_ms,
            complete=isinstance(record, BaselineRecord) or record.complete,
            feasible=isinstance(record, BaselineRecord) or record.feasible,
        )

    def _named(self, record: EvaluationRecord | BaselineRecord) -> tuple[Schedule, int | None, str]:
        """What was run: its schedule, trial and origin."""
        if isinstance(record, BaselineRecord):
            return Schedule.all_compute(self._study.layout, record.steps), None, record.name
        return self._study.schedule(record), record.trial, record.origin

    def _repr_html_(self) -> str:
        from ecad_automl.api.front_html import front_html

        return front_html(self)
