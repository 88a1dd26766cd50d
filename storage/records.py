"""The rows of our tables beside Optuna's: as frozen records, and the way between the two."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import StorageError

Scores = Mapping[str, NDArray[np.float32]]
"""Per-image scores by metric, each ``(images,)`` float32."""

SCHEMA_VERSION = 1

#: What the drift of a study is kept under, among its calibration.
DRIFT = "drift"


def drift_of(steps: int) -> str:
    """What the drift of runs of another number of steps than the study's is kept under."""
    return f"{DRIFT} of {steps} steps"


#: By a record's type hint; metrics and times by name are kept as bytes and as JSON.
_KINDS: Mapping[Any, type] = {
    **{hint: kind for kind in (int, float, str) for hint in (kind, kind | None)},
    bool: int,
    Scores: bytes,
    Mapping[str, float]: str,
}


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class EvaluationRecord:
    """One schedule whose images were generated and scored.

    Attributes:
        genome: effective bits, see :meth:`ecad_automl.schedules.schedule.Schedule.to_genome`.
        gmacs: multiply-accumulates of the transformer over a run, in 10^9, for one image.
        reward: mean reward over the images; higher is better.
        reward_drop: mean over the images of the baseline's reward less this one's, on the same prompt and noise.
        reward_drop_se: standard error of that paired mean; None where there are too few images for one.
        scores: per-image scores by metric, the reward among them.
        seconds: time to generate and score.
        origin: where the schedule came from: the name of a heuristic, ``drift``, ``bred``, ...
        trial: number of its Optuna trial, or None before it has one.
        latency_ms: time of a run for one image, where it was measured or modeled.
        complete: False where the evaluation was stopped after part of the images, the candidate being hopeless.
        feasible: whether it meets the constraints of the study; True where there are none.
        fitted: coefficients that were fitted for it, see :func:`ecad_automl.schedules.fitted.write_fitted`; empty where
            there are none.
        created: when, ISO 8601.
    """

    genome: str
    gmacs: float
    reward: float
    reward_drop: float
    reward_drop_se: float | None = None
    scores: Scores = field(default_factory=dict, compare=False)
    seconds: float = 0.0
    origin: str = ""
    trial: int | None = None
    latency_ms: float | None = None
    complete: bool = True
    feasible: bool = True
    fitted: str = ""
    created: str = field(default_factory=now)


@dataclass(frozen=True)
class BaselineRecord:
    """A run without caching: the uncached one that drops are measured from, or one of fewer steps.

    Attributes:
        name: such as ``uncached`` or ``steps-10``.
        steps: denoising steps.
        gmacs: multiply-accumulates of the transformer over a run, in 10^9, for one image.
        reward: mean reward over the images.
        reward_drop: mean paired drop from the uncached run; 0 for that run itself.
        reward_drop_se: standard error of that mean; None where there is none.
        scores: per-image scores by metric.
        seconds: time to generate and score.
        latency_ms: time of a run for one image, where it was measured or modeled.
        created: when, ISO 8601.
    """

    name: str
    steps: int
    gmacs: float
    reward: float
    reward_drop: float = 0.0
    reward_drop_se: float | None = None
    scores: Scores = field(default_factory=dict, compare=False)
    seconds: float = 0.0
    latency_ms: float | None = None
    created: str = field(default_factory=now)


@dataclass(frozen=True)
class GenerationRecord:
    """What one generation of a search did.

    Attributes:
        generation: its number, from 0.
        evaluations: evaluations of the study so far.
        hypervolume: of the front so far.
        rank_correlation: out-of-sample rank correlation of the surrogate within bands of equal cost.
        coverage: share of out-of-sample rewards inside the surrogate's intervals.
        surrogate_used: whether the surrogate chose candidates of this generation.
        seconds: time by part, such as ``ask``, ``fit``, ``evaluate``.
        created: when, ISO 8601.
    """

    generation: int
    evaluations: int
    hypervolume: float | None = None
    rank_correlation: float | None = None
    coverage: float | None = None
    surrogate_used: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict, hash=False)
    created: str = field(default_factory=now)


@dataclass(frozen=True)
class ConfirmationRecord:
    """One run on prompts and seeds that the search never saw.

    Attributes:
        sample: stands for the prompts and seeds; see :func:`studies.confirmation.sample_key`.
        run: effective bits of the schedule, or the name of an uncached run of fewer steps.
        origin: where the run came from, for people.
        steps: denoising steps.
        prompts: how many.
        seeds: how many of each prompt.
        gmacs: multiply-accumulates of the transformer over a run, in 10^9, for one image.
        latency_ms: time of a run for one image, where it was measured or modeled.
        scores: per-image scores by metric, by prompt, then seed.
        seconds: time to generate and score.
        created: when, ISO 8601.
    """

    sample: str
    run: str
    origin: str
    steps: int
    prompts: int
    seeds: int
    gmacs: float
    latency_ms: float | None = None
    scores: Scores = field(default_factory=dict, compare=False)
    seconds: float = 0.0
    created: str = field(default_factory=now)


def pack_scores(scores: Scores) -> bytes:
    """Scores as bytes: a line of JSON with the metrics and their lengths, then all scores as little-endian float32."""
    header = json.dumps({name: len(values) for name, values in scores.items()})
    return header.encode() + b"\n" + b"".join(np.asarray(values, "<f4").tobytes() for values in scores.values())


def unpack_scores(data: bytes | None) -> dict[str, NDArray[np.float32]]:
    """Read what :func:`pack_scores` wrote; None gives no scores.

    Raises:
        StorageError: the bytes are damaged.
    """
    if data is None:
        return {}
    try:
        header, _, body = data.partition(b"\n")
        lengths: dict[str, int] = json.loads(header)
        numbers = np.frombuffer(body, dtype="<f4").astype(np.float32)
        if any(not isinstance(length, int) or length < 0 for length in lengths.values()):
            raise ValueError("a metric has no number of scores")  # noqa: TRY301
        if sum(lengths.values()) != len(numbers):
            raise ValueError(f"{len(numbers)} scores where {sum(lengths.values()):.6g} are announced")  # noqa: TRY301
    except (ValueError, AttributeError, TypeError, RecursionError, OverflowError) as error:
        raise StorageError(f"Per-image scores in the study database are damaged ({error}); evaluate again.") from error
    ends = np.cumsum(list(lengths.values()), dtype=int).tolist()
    return {name: numbers[end - length : end] for (name, length), end in zip(lengths.items(), ends, strict=True)}


Record = EvaluationRecord | BaselineRecord | GenerationRecord | ConfirmationRecord
R = TypeVar("R", EvaluationRecord, BaselineRecord, GenerationRecord, ConfirmationRecord)


def _columns(record: type[Record]) -> dict[str, type]:
    """The columns of a table of records: the name of the study, then the fields, the long scores last."""
    hints = get_type_hints(record)
    names = sorted((item.name for item in fields(record)), key=lambda name: name == "scores")
    return {"study": str, **{name: _KINDS[hints[name]] for name in names}}


_TABLES: dict[str, tuple[dict[str, type], tuple[str, ...]]] = {
    "ecad_meta": ({"key": str, "value": str}, ("key",)),
    "ecad_studies": ({"study": str, "identity": str, "created": str}, ("study",)),
    "ecad_evaluations": (_columns(EvaluationRecord), ("study", "genome")),
    "ecad_baselines": (_columns(BaselineRecord), ("study", "name")),
    "ecad_generations": (_columns(GenerationRecord), ("study", "generation")),
    "ecad_confirmations": (_columns(ConfirmationRecord), ("study", "sample", "run")),
    "ecad_calibration": ({"study": str, "name": str, "data": bytes, "created": str}, ("study", "name")),
}

COLUMNS: Mapping[str, Mapping[str, type]] = {name: columns for name, (columns, _) in _TABLES.items()}
"""Types of Python by column and table."""

KEYS = {name: key for name, (_, key) in _TABLES.items()}
"""Columns of the primary key by table."""

LATER_COLUMNS: Mapping[str, Mapping[str, Any]] = {"ecad_evaluations": {"feasible": True, "fitted": ""}}
"""Columns that databases of earlier versions lack, and what they stand for there."""


def row_key(table: str, row: Mapping[str, Any]) -> str:
    """A digest of the key of a row, where the key itself is too long for an index."""
    return hashlib.sha256(json.dumps([row[name] for name in KEYS[table]]).encode()).hexdigest()


def check_version(version: object, where: object) -> None:
    """Whether our tables are of a version that this code can use.

    Raises:
        StorageError: they are of a newer version, or the version is none.
    """
    if not isinstance(version, str) or not version.isdigit():
        raise StorageError(f"The study database {where} has the schema version {version!r}, which is none; restore it.")
    if int(version) > SCHEMA_VERSION:
        raise StorageError(
            f"The study database {where} was written by a newer ecad-automl (schema {version}, this one reads "
            f"{SCHEMA_VERSION}); upgrade ecad-automl."
        )


def to_row(study: str, record: Record) -> dict[str, Any]:
    """The row of a record."""
    row: dict[str, Any] = {"study": study}
    for item in fields(record):
        value = getattr(record, item.name)
        if item.name == "scores":
            row["scores"] = pack_scores(value)
        elif isinstance(value, Mapping):
            row[item.name] = json.dumps(json_value(value))
        else:
            plain = json_value(value)
            # PostgreSQL takes no truth value for a number, which a file does.
            row[item.name] = int(plain) if isinstance(plain, bool) else plain
    return row


def from_row(kind: type[R], row: Mapping[str, Any]) -> R:
    """The record of a row; a row without scores gives a record without them.

    Raises:
        StorageError: a value is not of the kind of its column, which SQLite takes all the same.
    """
    values: dict[str, Any] = {}
    for name, types in _FIELDS[kind].items():
        value: Any = row.get(name)
        if value is None and name in LATER_COLUMNS["ecad_evaluations"]:
            value = LATER_COLUMNS["ecad_evaluations"][name]
        if type(value) not in types:
            raise _damaged(kind, name, value)
        if name == "scores":
            value = unpack_scores(value)
        elif name in ("complete", "feasible", "surrogate_used"):
            value = bool(value)
        elif kind is GenerationRecord and name == "seconds":
            value = _read_times(value)
        values[name] = value
    return kind(**values)


def _types(record: type[Record]) -> dict[str, frozenset[type]]:
    """What each field of a row may be, as a database gives it."""
    hints, kinds = get_type_hints(record), _columns(record)
    numbers: dict[type, tuple[type, ...]] = {float: (float, int), int: (int, bool)}
    none = {name: (type(None),) for name, hint in hints.items() if hint == Scores or type(None) in get_args(hint)}
    return {
        item.name: frozenset((*numbers.get(kinds[item.name], (kinds[item.name],)), *none.get(item.name, ())))
        for item in fields(record)
    }


_FIELDS = {
    record: _types(record) for record in (EvaluationRecord, BaselineRecord, GenerationRecord, ConfirmationRecord)
}


def _read_times(text: str) -> dict[str, float]:
    """The times of a generation by part."""
    try:
        times: dict[str, float] = json.loads(text)
        if all(isinstance(seconds, (int, float)) for seconds in times.values()):
            return times
    except (ValueError, AttributeError, RecursionError):
        pass
    raise _damaged(GenerationRecord, "seconds", text)


def _damaged(kind: type[Record], name: str, value: object) -> StorageError:
    what = kind.__name__.removesuffix("Record").lower()
    return StorageError(
        f"The study database is damaged: it has {value!r:.60} for {name!r} of one {what}; restore the backup by "
        "`ecad-automl check --restore`."
    )


def json_value(value: Any) -> Any:
    """A value as JSON and databases take it: numpy's numbers as Python's, numbers that are not finite as None.

    Raises:
        StorageError: the value has no JSON form.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        return json_value(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise StorageError(f"A study database keeps numbers, text, lists and dictionaries, not a {type(value).__name__}.")
