"""How many steps a pipeline is to be asked for, so that its transformer is called as often as a schedule says."""

from __future__ import annotations

from typing import Any

from diffusers import SCMScheduler

from ecad_automl.errors import ScheduleError

# Schedulers that shift their timesteps by the size of the image are told by how much; their number is the same.
_SHIFT = 1.0


def forwards_of(scheduler: Any) -> int:
    """How often a run calls the transformer by the timesteps that a scheduler is set to."""
    # The last timestep of SCM is where a run ends: no forward is made there.
    return len(scheduler.timesteps) - isinstance(scheduler, SCMScheduler)


def strength_arguments(run: int, strength: float) -> dict[str, Any]:
    """What to call a pipeline with that begins with an image, so that it makes a run of so many steps.

    Args:
        run: steps.
        strength: about which share of all steps these are to be.

    Returns:
        ``num_inference_steps`` and ``strength``.
    """
    whole = round(run / strength)
    while run / whole * whole != run:  # by floating point, it would run another number
        whole += 1
    return {"num_inference_steps": whole, "strength": run / whole}


def steps_to_ask_for(scheduler: Any, forwards: int) -> int:
    """The ``num_inference_steps`` by which a scheduler makes a run of so many transformer calls.

    It is another number for second-order schedulers, which call it about twice a step. A scheduler that cannot be
    tried out is taken for one of first order.

    Raises:
        ScheduleError: the scheduler makes no such run.
    """
    nearest: dict[int, int] = {}
    for asked in range(forwards, 0, -1):
        found = _forwards(scheduler, asked)
        if found is None or found == forwards:
            return asked if found == forwards else forwards
        nearest[found] = asked
        if found < forwards // 2:
            break
    some = sorted(nearest, key=lambda count: abs(count - forwards))[:2]
    raise ScheduleError(
        f"{type(scheduler).__name__} makes no run of {forwards} steps, as the schedule has; the nearest are of "
        f"{' and '.join(map(str, sorted(some)))}. Move the schedule to one of these with schedule.resample(steps=...)."
    )


def _forwards(scheduler: Any, asked: int) -> int | None:
    """Transformer calls of a run of ``asked`` steps, found on another scheduler of the same settings."""
    if isinstance(scheduler, SCMScheduler):  # takes other arguments for every number but 2
        return asked
    for more in ({}, {"mu": _SHIFT}):
        try:
            other = type(scheduler).from_config(scheduler.config)
            other.set_timesteps(asked, **more)
            return forwards_of(other)
        except (TypeError, ValueError, IndexError, AttributeError):
            continue
    return None
