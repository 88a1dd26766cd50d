"""What ``--json`` prints: a document of its own schema for each command.

Keys are never taken away or renamed within a version of a schema; new ones may come. What is not known is null.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, PlainSerializer

from ecad_automl.views.run import RunView
from ecad_automl.views.study import ConfirmedFront, StudyView

#: As the user wrote it, relative paths included.
File = Annotated[Path, PlainSerializer(str)]

#: Lower and upper end of a 95 % interval over prompts; None where one prompt gives none.
Interval = tuple[float, float] | None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)


class Document(_Part):
    """What one command prints.

    Attributes:
        SCHEMA: its name and version, the first key of the document.
    """

    SCHEMA: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """The document as JSON values; numbers may still be infinite or none."""
        return {"schema": self.SCHEMA, **self.model_dump(mode="json")}


class Run(_Part):
    """A schedule or an uncached run, as the search scored it.

    Attributes:
        trial: number of the Optuna trial; None for runs that have none.
        origin: where it came from, such as ``fora-3``, ``bred`` or ``10 steps``.
        speedup: how many times cheaper than uncached, in what the study minimizes.
        mac_speedup: how many times fewer MACs.
        gmacs: MACs of the transformer over a run, in 10^9, for one image.
        latency_ms: of the transformer for one image by the study's model; None where the study minimizes MACs.
        reward: mean reward, higher is better.
        difference: mean paired difference of the reward to uncached.
        difference_interval: its 95 % interval.
        steps: denoising steps.
        genome: effective bits, as of ``Schedule.to_hex``; None for an uncached run of fewer steps.
    """

    trial: int | None
    origin: str
    speedup: float
    mac_speedup: float
    gmacs: float
    latency_ms: float | None
    reward: float
    difference: float
    difference_interval: Interval
    steps: int
    genome: str | None


class _OfStudy(Document):
    study: str
    storage: str


class _Front(_OfStudy):
    reward: str
    cost: Literal["MACs", "latency"]
    cost_unit: str

    @staticmethod
    def _about(study: StudyView) -> dict[str, Any]:
        return {
            "study": study.name,
            "storage": study.storage,
            "reward": study.reward_name,
            "cost": study.cost_name,
            "cost_unit": study.cost_unit,
        }


class FrontDocument(_Front):
    """Of ``front``: what no other schedule beats, the cheapest first, and what it is to be compared with.

    Attributes:
        evaluations: how many schedules were evaluated.
        uncached: the run that all are compared with.
        front: its schedules.
        fewer_steps: uncached runs of fewer steps.
        heuristics: published heuristics that are not on the front.
    """

    SCHEMA: ClassVar[str] = "ecad-automl/front/1"

    evaluations: int
    uncached: Run
    front: list[Run]
    fewer_steps: list[Run]
    heuristics: list[Run]

    @classmethod
    def of(cls, study: StudyView, *, baselines: bool) -> Self:
        """The front, and what it is to be compared with."""
        return cls(
            **cls._about(study),
            evaluations=len(study.runs),
            uncached=Run.model_validate(study.uncached),
            front=list(map(Run.model_validate, study.front)),
            fewer_steps=list(map(Run.model_validate, study.searched_shorter)) if baselines else [],
            heuristics=list(map(Run.model_validate, study.heuristics)) if baselines else [],
        )


class ConfirmedRun(_Part):
    """A run on prompts and seeds that the search never saw.

    Attributes:
        trial: number of the Optuna trial; None for runs that have none.
        origin: where it came from.
        speedup: how many times cheaper than uncached, in what the study minimizes.
        reward: mean reward on the unseen prompts.
        difference: mean paired difference to uncached there.
        difference_interval: its 95 % interval.
        searched_difference: the same difference in the search; None where it was not run there.
        front_share: share of resampled prompt sets in which it is on the front.
        survives: whether no run of at most its cost is better by more than their paired interval.
        beaten_by: that run, for people.
        beaten_surely: whether it is beaten also after Holm's correction.
    """

    trial: int | None
    origin: str
    speedup: float
    reward: float
    difference: float
    difference_interval: Interval
    searched_difference: float | None
    front_share: float
    survives: bool
    beaten_by: str | None
    beaten_surely: bool

    @classmethod
    def of(cls, run: RunView) -> Self:
        """A run that was confirmed."""
        found = run.confirmed
        assert found is not None
        own = {name: getattr(found, name) for name in cls.model_fields if name not in ("trial", "origin", "speedup")}
        return cls(trial=run.trial, origin=run.origin, speedup=run.speedup, **own)


class ConfirmationDocument(_Front):
    """Of ``confirm`` and ``front --confirmed``.

    Attributes:
        prompts: how many unseen prompts.
        seeds: of each prompt.
        missing: schedules of the front that were not confirmed yet.
        front: what the search chose, the cheapest first.
        others: what it is compared with.
        survivors: how many of the front survive.
        rank_correlation: of search and confirmation, over the front.
        neighbors: pairs of neighbors of the front.
        neighbors_kept: how many of these kept their order.
    """

    SCHEMA: ClassVar[str] = "ecad-automl/confirmation/1"

    prompts: int
    seeds: int
    missing: int
    front: list[ConfirmedRun]
    others: list[ConfirmedRun]
    survivors: int
    rank_correlation: float | None
    neighbors: int
    neighbors_kept: int

    @classmethod
    def of(cls, study: StudyView, found: ConfirmedFront, *, baselines: bool) -> Self:
        """The front on unseen prompts."""
        return cls(
            **cls._about(study),
            prompts=found.prompts,
            seeds=found.seeds,
            missing=found.missing,
            front=list(map(ConfirmedRun.of, found.front)),
            others=list(map(ConfirmedRun.of, found.others)) if baselines else [],
            survivors=len(found.survivors),
            rank_correlation=found.rank_correlation,
            neighbors=found.neighbors,
            neighbors_kept=found.neighbors_kept,
        )


class ComputedSteps(_Part):
    """When one component of one block is computed.

    Attributes:
        block: its name in the transformer.
        component: such as ``attn1``.
        steps: the steps in which it is computed, from 0; in all others it is reused.
    """

    block: str
    component: str
    steps: list[int]


class MeasuredFigure(_Part):
    """A figure that stands in a schedule file; see :class:`~ecad_automl.schedules.schedule_file.Measured`."""

    value: float
    low: float | None
    high: float | None
    confidence: float | None
    samples: int | None
    unit: str | None


class DescriptionDocument(Document):
    """Of ``describe``.

    Attributes:
        file: the schedule file.
        name: of the schedule, for people.
        transformer: class of the transformer.
        model: hub id or folder.
        revision: of the model.
        steps: denoising steps.
        blocks: of the transformer.
        slots: components of blocks that can be cached.
        gmacs: MACs of a run for one image, in 10^9.
        uncached_gmacs: of the uncached run.
        run_gmacs: of a run as ``apply_schedule`` makes it, which computes text once; None where that saves nothing.
        mac_speedup: how many times fewer MACs.
        cache_bytes: the cache at its largest, per image in 16 bits; None where nothing is held, or it is not known.
        computed: share of slots and steps that are computed.
        components: that share by component.
        objectives: figures that were measured.
        rows: when each slot is computed.
        png: the picture that was drawn.
    """

    SCHEMA: ClassVar[str] = "ecad-automl/description/1"

    file: File
    name: str
    transformer: str
    model: str | None
    revision: str | None
    steps: int
    blocks: int
    slots: int
    gmacs: float
    uncached_gmacs: float
    run_gmacs: float | None
    mac_speedup: float
    cache_bytes: int | None
    computed: float
    components: dict[str, float]
    objectives: dict[str, MeasuredFigure]
    rows: list[ComputedSteps]
    png: File | None


class ExportedSchedule(Run):
    """A schedule that was written.

    Attributes:
        file: where.
        confirmed_difference: on unseen prompts; None where it was not confirmed.
        confirmed_interval: its 95 % interval.
        survives: see :class:`ConfirmedRun`; None where it was not confirmed.
    """

    file: File
    confirmed_difference: float | None
    confirmed_interval: Interval
    survives: bool | None

    @classmethod
    def written(cls, run: RunView, file: Path) -> Self:
        """A run that was written to a file."""
        found = run.confirmed
        return cls(
            **Run.model_validate(run).model_dump(),
            file=file,
            confirmed_difference=None if found is None else found.difference,
            confirmed_interval=None if found is None else found.difference_interval,
            survives=None if found is None else found.survives,
        )


class ExportDocument(_OfStudy):
    """Of ``export``.

    Attributes:
        schedules: the files.
        index: the list of them; None where one schedule was chosen.
        card: the model card, if one was written.
        pushed: address of the repository that they were sent to.
        snippet: Python that applies a schedule: the chosen one, or that at the knee of the front.
    """

    SCHEMA: ClassVar[str] = "ecad-automl/export/1"

    schedules: list[ExportedSchedule]
    index: File | None
    card: File | None
    pushed: str | None
    snippet: str


class PlotDocument(_OfStudy):
    """Of ``plot``: the pictures.

    Attributes:
        front: with its baselines.
        hypervolume: against evaluations.
        confirmed: the confirmed front; None where nothing was confirmed.
    """

    SCHEMA: ClassVar[str] = "ecad-automl/plot/1"

    front: File
    hypervolume: File
    confirmed: File | None


class ReportDocument(_OfStudy):
    """Of ``report``.

    Attributes:
        format: what it is written as.
        file: the report.
        pictures: files beside it.
        image_prompts: prompts that images were generated of.
        image_schedules: schedules that they were generated under.
    """

    SCHEMA: ClassVar[str] = "ecad-automl/report/1"

    format: Literal["html", "md"]
    file: File
    pictures: list[File]
    image_prompts: int
    image_schedules: int


class ConversionDocument(Document):
    """Of ``convert``.

    Attributes:
        source: what was read.
        target: what was written.
        format: of the target: ``ecad`` for the ECAD authors' files, else ours.
    """

    SCHEMA: ClassVar[str] = "ecad-automl/conversion/1"

    source: File
    target: File
    format: Literal["ecad", "ecad-automl"]


class GeneratedRun(_Part):
    """Images of one run.

    Attributes:
        name: ``uncached``, or that of the schedule file.
        images: how many.
        seconds: for all of them.
        speedup: how many times as fast as uncached.
        mac_speedup: how many times fewer MACs.
        folder: where the images are.
    """

    name: str
    images: int
    seconds: float
    speedup: float
    mac_speedup: float
    folder: File


class GenerationDocument(Document):
    """Of ``generate``.

    Attributes:
        prompts: what the images are of.
        seed: of the noise.
        runs: uncached, then each schedule.
        side_by_side: a picture of all.
    """

    SCHEMA: ClassVar[str] = "ecad-automl/generation/1"

    prompts: list[str]
    seed: int
    runs: list[GeneratedRun]
    side_by_side: File


class SearchDocument(_OfStudy):
    """Of ``search``, when it is done.

    Attributes:
        evaluations: schedules evaluated so far, earlier runs included.
        stopped: how many of these were stopped early.
        hypervolume: of the front, normalized.
        best: by speedup, the best mean reward difference to uncached at that speedup or more.
    """

    SCHEMA: ClassVar[str] = "ecad-automl/search/1"

    evaluations: int
    stopped: int
    hypervolume: float | None
    best: dict[str, float | None]
