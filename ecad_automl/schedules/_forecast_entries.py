"""What schedule files say of skipped steps, of forecasts and of guidance."""

from __future__ import annotations

from typing import Annotated, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.forecast import DAMPING, REUSE
from ecad_automl.schedules.guidance import KEEP, Guidance
from ecad_automl.schedules.schedule import Bits, Schedule

#: Far beyond any scheduler; more would only keep the reader busy.
MAX_STEPS = 10_000

_Step = Annotated[int, Field(ge=0, lt=MAX_STEPS, strict=True)]
_Weight = Annotated[float, Field(gt=-1e38, lt=1e38, strict=True)]


#: Of what is done about guidance, by action; a difference that is kept has one letter, forecast or not.
_LETTERS = "b" + "k" * len(DAMPING) + "n"


class GuidanceEntry(BaseModel):
    """The forecast of the difference of both guidance branches at a step."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    step: _Step
    level: int = Field(ge=1, lt=len(DAMPING), strict=True)
    sources: tuple[_Step, _Step] = Field(alias="from")
    weights: tuple[_Weight, _Weight]


class ForecastEntry(BaseModel):
    """Forecasts of all slots of one component, or of the transformer, that have the same sources at a step."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    step: _Step
    component: Annotated[str, Field(strict=True)] | None
    level: int = Field(ge=1, lt=len(DAMPING), strict=True)
    sources: tuple[_Step, _Step] = Field(alias="from")
    weights: tuple[_Weight, _Weight]


def forecast_entries(schedule: Schedule) -> list[ForecastEntry]:
    """All forecasts of a schedule, each once."""
    table, weights = schedule.forecast_table
    components = (*schedule.layout.components, None)
    return [
        ForecastEntry.model_construct(
            step=step,
            component=components[column],
            level=int(schedule.damping[step, column]),
            sources=(last, before),
            # The shortest decimals that are read as the same float32.
            weights=tuple(float(str(weight)) for weight in pair),
        )
        for (step, column, last, before), pair in zip(table.tolist(), weights, strict=True)
    ]


def guidance_text(guidance: Guidance) -> str:
    """A letter for each step: ``b`` both branches, ``k`` the difference is kept, ``n`` no guidance."""
    return "".join(_LETTERS[action] for action in guidance.actions)


def guidance_entries(guidance: Guidance) -> list[GuidanceEntry]:
    """All forecasts of the difference of both branches."""
    return [
        GuidanceEntry.model_construct(
            step=step,
            level=int(guidance.levels[step]),
            sources=tuple(guidance.sources[:, step].tolist()),
            weights=tuple(float(str(weight)) for weight in guidance.weights[step]),
        )
        for step in np.flatnonzero(guidance.levels).tolist()
    ]


def _actions(steps: int, skip: Bits, text: object, forecasts: object) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """What is done about guidance, and the weights of forecasts."""
    weights = np.tile(REUSE, (steps, 1))
    if text is None and not forecasts:
        return np.zeros(steps, dtype=np.uint8), weights
    if not isinstance(text, str) or len(text) != steps or set(text) - set(_LETTERS):
        raise ScheduleError(
            f"it has {text!r:.80} for 'guidance', but needs {steps} letters: b for both branches, k where the last "
            "difference is kept, n for none."
        )
    if not isinstance(forecasts, list):
        raise ScheduleError(f"it has {forecasts!r:.60} for 'guidance_forecasts', but needs a list of objects.")
    actions = np.array([_LETTERS.index(letter) for letter in text], dtype=np.uint8)
    plain = Guidance.of(actions, skip, None)
    for number, entry in enumerate(forecasts):
        found = _validated(GuidanceEntry, entry, f"guidance_forecasts.{number}")
        at = found.step
        if at >= steps or not plain.kept[at] or tuple(plain.sources[:, at]) != found.sources or actions[at] != KEEP:
            raise ScheduleError(
                f"it forecasts the difference of guidance at step {at} from those of the steps {found.sources[0]} and "
                f"{found.sources[1]}, but it is not kept there, has other steps as its last two, or is told twice."
            )
        actions[at] = KEEP + found.level
        weights[at] = found.weights
    return actions, weights


_Entry = TypeVar("_Entry", bound=BaseModel)


def _validated(kind: type[_Entry], entry: object, where: str) -> _Entry:
    try:
        return kind.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join((where, *map(str, first["loc"])))
        raise ScheduleError(f"it has {first['input']!r:.60} for '{where}' ({first['msg']}); correct it.") from error


def with_forecasts(
    schedule: Schedule, skip: object, forecasts: object, guidance: object = None, guidance_forecasts: object = None
) -> Schedule:
    """A schedule of those bits that skips steps, forecasts outputs and leaves out guidance branches."""
    layout, steps = schedule.layout, schedule.steps
    if not isinstance(skip, str) or len(skip) != steps or set(skip) - {"0", "1"} or skip[0] != "0":
        raise ScheduleError(
            f"it has {skip!r:.80} for 'skip', but needs {steps} digits, 1 for a skipped step, of which the first is 0."
        )
    if not isinstance(forecasts, list):
        raise ScheduleError(f"it has {forecasts!r:.60} for 'forecasts', but needs a list of objects.")
    skipped = np.array([digit == "1" for digit in skip])
    actions, of_guidance = _actions(steps, skipped, guidance, [] if guidance_forecasts is None else guidance_forecasts)
    bare = Schedule(layout, schedule.compute, skipped, None, None, actions, of_guidance)
    group = np.append(layout.component_index, len(layout.components))
    columns: dict[str | None, int] = {**{name: at for at, name in enumerate(layout.components)}, None: group[-1]}
    damping = np.zeros((steps, len(columns)), dtype=np.intp)
    weights = np.tile(REUSE, (steps, len(group), 1))
    told = np.zeros((steps, len(group)), dtype=np.bool_)
    for number, entry in enumerate(forecasts):
        forecast = _validated(ForecastEntry, entry, f"forecasts.{number}")
        step, component, level = forecast.step, forecast.component, forecast.level
        rows = group == columns.get(component, -1)
        if step < steps:
            rows &= bare.used[step] & (bare.sources[:, step] == np.array(forecast.sources)[:, None]).all(axis=0)
        what = "the transformer's output" if component is None else repr(component)
        where = f"{what} at step {step} from those of the steps {forecast.sources[0]} and {forecast.sources[1]}"
        if step >= steps or not rows.any():
            raise ScheduleError(f"it forecasts {where}, but nothing there is used that has these as its last two.")
        if told[step, rows].any() or damping[step, columns[component]] not in (0, level):
            raise ScheduleError(
                f"it forecasts {where} twice, or others of them at another level; delete the wrong one."
            )
        damping[step, columns[component]] = level
        weights[step, rows] = forecast.weights
        told[step] |= rows
    found = Schedule(layout, schedule.compute, skipped, damping, weights, actions, of_guidance)
    if (found.forecast != told).any():
        step, row = np.argwhere(found.forecast != told)[0]
        name = layout.slots[row].name if row < len(layout) else "the transformer's output"
        raise ScheduleError(f"it has no forecast of {name} at step {step}, but of others of its component; add it.")
    return found


def digits(bits: Bits) -> str:
    """Bits as the digits 0 and 1."""
    return "".join("1" if bit else "0" for bit in bits)
