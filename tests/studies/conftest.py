"""A small search problem whose evaluation takes no time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage

from ecad_automl.execution import Executor
from ecad_automl.judging.evaluation import Evaluation
from ecad_automl.judging.statistics import paired_difference
from ecad_automl.models.generation import GenerationSettings
from ecad_automl.rewards import Constraint
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.forecast import Forecasts, staleness
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from storage import BaselineRecord, Store, open_optuna_storage
from studies.config import SearchConfig, Use
from studies.cost import Cost
from studies.forecast_seeds import ForecastSeeds
from studies.prepared import PreparedStudy
from studies.progress import SearchStatus
from studies.search import search_study
from studies.seeds import fewer_steps

STEPS = 8


def small_layout() -> Layout:
    slots = tuple(
        Slot(f"transformer_blocks.{block}", name, None, macs)
        for block in range(3)
        for name, macs in (("attn1", 300_000_000), ("attn2", 200_000_000), ("ff", 500_000_000))
    )
    return Layout("PixArtTransformer2DModel", slots, 100_000_000)


def small_drift(layout: Layout) -> Drift:
    pace = np.random.default_rng(0).uniform(0.02, 0.3, (len(layout), 1, 1))
    apart = np.abs(np.subtract.outer(np.arange(STEPS), np.arange(STEPS)))
    distance = (1 - np.exp(-pace * apart)).astype(np.float32)
    return Drift(tuple(slot.name for slot in layout.slots), distance, np.ones((len(layout), STEPS), np.float32))


@dataclass
class DriftEvaluator:
    """Scores a schedule by the drift of what it reuses; counts what it is asked."""

    layout: Layout
    drift: Drift
    before: Callable[[Schedule], None] = lambda _: None
    prompts: Sequence[str] = ("a", "b", "c")
    seeds: Sequence[int] = (0,)
    asked: list[Schedule] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    batch_size: int = 8

    def __post_init__(self) -> None:
        self.settings = GenerationSettings(STEPS, 1.0, 64, 64, None)
        self.reward: Any = SimpleNamespace(name="drift")
        self.pipe = None

    def baseline(self) -> Evaluation:
        return self._score(Schedule.all_compute(self.layout, STEPS))

    def evaluate(self, schedule: Schedule) -> Evaluation:
        self.asked.append(schedule)
        self.before(schedule)
        return self._score(schedule)

    @property
    def images_per_evaluation(self) -> int:
        return len(self.prompts) * len(self.seeds)

    def scores(self, schedule: Schedule, images: Sequence[int]) -> dict[str, Any]:
        if not images or schedule not in self.asked:
            self.asked.append(schedule)
            self.before(schedule)
        whole = self._score(schedule)
        of_all = {self.reward.name: whole.scores, **whole.metrics}
        return {name: values.ravel()[list(images)] for name, values in of_all.items()}

    def _score(self, schedule: Schedule) -> Evaluation:
        steps, slots = np.arange(STEPS)[:, None], np.arange(len(self.layout))[None]
        used = self.drift.distance[slots, steps, steps - staleness(schedule.effective)].astype(float)
        # Errors compound over steps, so the sum alone does not tell the reward.
        harm = -np.expm1(used.sum(axis=1)).mean() * np.array([[0.9], [1.0], [1.1]])
        # What differs from image to image depends on the schedule too.
        if not schedule.is_plain:
            seeds = ForecastSeeds(Forecasts(self.drift, self.layout.component_index), self.layout)
            harm = -np.expm1(-seeds.predicted_error(schedule)) * np.array([[0.9], [1.0], [1.1]]) * -1.0
        luck = np.random.default_rng([*schedule.effective.tobytes()]).normal(size=(3, len(self.seeds)))
        scores = harm * (1 + 0.1 * luck) if len(self.seeds) > 1 else harm
        # How old outputs in use are in the mean, which the drift alone does not tell.
        freshness = np.full(scores.shape, -float(staleness(schedule.effective).mean()))
        return Evaluation(scores, paired_difference(scores, np.zeros_like(scores)), 0.01, metrics={"fresh": freshness})


class Recorder:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.statuses: list[SearchStatus] = []
        self.messages: list[str] = []

    def update(self, status: SearchStatus) -> None:
        self.statuses.append(status)

    def message(self, text: str) -> None:
        self.messages.append(text)


@dataclass
class Bench:
    """Runs searches in one database: ours in a file, Optuna's tables in memory, a tenth of the time, or in the file."""

    database: Path
    in_file: bool = False
    layout: Layout = field(default_factory=small_layout)
    observer: Recorder = field(default_factory=Recorder)
    in_memory: BaseStorage = field(default_factory=InMemoryStorage)

    @property
    def optuna_storage(self) -> BaseStorage:
        return open_optuna_storage(self.database) if self.in_file else self.in_memory

    def evaluator(self, before: Callable[[Schedule], None] = lambda _: None, seeds: int = 1) -> DriftEvaluator:
        return DriftEvaluator(self.layout, small_drift(self.layout), before, seeds=range(seeds))

    def run(
        self,
        evaluator: DriftEvaluator | None = None,
        *,
        study: str = "s",
        cost: Cost | None = None,
        constraints: Sequence[Constraint] = (),
        floor: float = -0.1,
        executor: Callable[[], Executor] | None = None,
        use: Use = "reuse",
        **settings: Any,
    ) -> SearchStatus:
        config = SearchConfig(**{"evaluations": 60, "offspring": 6, "population": 10, "pool": 60, **settings})
        evaluator = evaluator or self.evaluator()
        with Store.open(self.database) as store:
            store.save_calibration(study, "drift", evaluator.drift.to_bytes())
            for count in fewer_steps(STEPS):
                store.save_baseline(study, BaselineRecord(f"{count} steps", count, 1.0, floor))
            return search_study(
                PreparedStudy(
                    evaluator=evaluator,  # type: ignore[arg-type]
                    layout=self.layout,
                    store=store,
                    optuna_storage=self.optuna_storage,
                    name=study,
                    identity={
                        "layout": self.layout.to_dict(),
                        "generation": {"steps": STEPS},
                        "prompts": list(evaluator.prompts),
                        "seeds": list(evaluator.seeds),
                        **({} if use == "reuse" else {"use": use}),
                        "reward": evaluator.reward.name,
                    },
                    config=config,
                    cost=cost,
                    constraints=constraints,
                    observer=self.observer,
                ),
                executor=executor,
            )

    def study(self, study: str = "s") -> optuna.Study:
        return optuna.load_study(study_name=study, storage=self.optuna_storage)

    def trials(self, study: str = "s") -> list[Any]:
        return self.study(study).trials

    def complete(self, study: str = "s") -> list[Any]:
        return [trial for trial in self.trials(study) if trial.state.name == "COMPLETE"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "study.db")


@pytest.fixture
def bench_in_file(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "study.db", in_file=True)
