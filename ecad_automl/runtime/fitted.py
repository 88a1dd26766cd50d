"""What the scheduler is given, by coefficients that were fitted under a schedule to where the uncached run goes.

The closed form of the drift knows how outputs go on from one step to the next in an uncached run. Under a schedule the
latents are already off by what the steps before have done, and what a skipped step has missed can be made up for at the
next one that runs. So a few images are made under the schedule, and at each step in turn those coefficients are taken
by which the scheduler's next latents come nearest to those of the uncached run from the same noise. These are least
squares with a few unknowns, since a step of a scheduler is linear in the output that it is given; nothing is
differentiated, and the transformer runs as often as the schedule says.

Others fit coefficients of samplers to the path of a full run by gradient descent, for runs of fewer steps: Bespoke
Solvers (arXiv 2310.19075) and S4S (arXiv 2502.17423).
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecad_automl.errors import CacheStateError, EvaluationError
from ecad_automl.patching import replaced
from ecad_automl.schedules.fitted import OUTPUTS, TERMS, as_it_is, is_as_it_is
from ecad_automl.schedules.schedule import Schedule

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_OUTPUT, _LATENTS = TERMS.index("output"), TERMS.index("latents")
#: Of the mean square of what a coefficient is of, added where they are solved for: it draws them towards those of plain
#: reuse. Those of latents are drawn more, by which little changes (docs/tried.md).
_RIDGE = np.array([1e-4] * (1 + OUTPUTS) + [0.3, 0.3])
#: Significant digits of a coefficient.
_DIGITS = 6
#: Of the latents; a step that moves them less by a whole unit of output hardly reads it.
_LEAST_MOVE = 1e-6

#: What a step of a scheduler must be given.
_GIVEN = {"model_output", "sample"}

#: Makes the step of a scheduler from an output, and gives the next latents.
Proceed = Callable[[Tensor], Tensor]
#: Is given the arguments of a step of a scheduler by name, and must call what makes it.
Visit = Callable[[Mapping[str, Any], Proceed], None]


class FittedSteps:
    """Gives a scheduler, at each step, what the coefficients of a schedule say.

    Args:
        schedule: it.
        fit: gives the coefficients of a step of what there is, in place of those of the schedule.
    """

    def __init__(
        self,
        schedule: Schedule,
        fit: Callable[[int, Mapping[str, Any], dict[int, Tensor]], NDArray[np.float32]] | None = None,
    ) -> None:
        self._table = as_it_is(schedule.steps) if schedule.fitted is None else schedule.fitted
        self._skip, self._fit = schedule.skip, fit
        self._outputs: list[Tensor] = []  # of the last steps that ran, the latest first
        self._latents: Tensor | None = None  # at the latest
        self._step = -1

    def begin(self, step: int) -> None:
        """A transformer call of a step begins.

        Raises:
            CacheStateError: the scheduler has not made the step before.
        """
        if step == 0:
            self._forget()
            self._step = -1
        elif self._step < step - 1:
            raise CacheStateError(
                "The schedule has fitted coefficients, but the scheduler of the pipeline has not made step "
                f"{step - 1} after the transformer; step pipe.scheduler, or take the schedule without them "
                "(with_fitted(None))."
            )

    def visit(self, given: Mapping[str, Any], proceed: Proceed) -> None:
        """See :data:`Visit`."""
        self._step += 1
        step, output, latents = self._step, given["model_output"], given["sample"]
        if step >= len(self._table):  # of whoever steps on after a run
            proceed(output)
            return
        terms = {} if self._skip[step] else {_OUTPUT: output}
        if self._latents is not None:
            terms |= dict(enumerate(self._outputs, _OUTPUT + 1))
            terms |= {_LATENTS: latents, _LATENTS + 1: self._latents}
        row = self._table[step] if self._fit is None else self._fit(step, given, terms)
        if not self._skip[step]:
            self._outputs = [output, *self._outputs[: OUTPUTS - 1]]
            self._latents = latents
        if step == len(self._table) - 1:
            self._forget()
        proceed(output if is_as_it_is(row) else _combined(row, terms, output))

    def _forget(self) -> None:
        self._outputs, self._latents = [], None


def _combined(row: NDArray[np.float32], terms: Mapping[int, Tensor], output: Tensor) -> Tensor:
    """The sum of some terms by their coefficients, as an output is."""
    total = torch.zeros_like(output, dtype=torch.float32)
    for place, coefficient in enumerate(row.tolist()):
        if coefficient and place in terms:
            total.add_(terms[place], alpha=coefficient)
    return total.to(output.dtype)


@contextmanager
def visited_steps(scheduler: Any, visit: Visit) -> Iterator[None]:
    """For a while, have each step of a scheduler visited."""
    original = scheduler.step
    signature = inspect.signature(original)

    @functools.wraps(original)  # whose arguments whoever visits it too must know
    def step(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        found: list[Any] = []

        def proceed(output: Tensor) -> Tensor:
            bound.arguments["model_output"] = output
            found.append(original(*bound.args, **bound.kwargs))
            return _latents(found[0])

        visit(bound.arguments, proceed)
        return found[0]

    with replaced("step", (scheduler, step)):
        yield


def uncached_path(pipe: DiffusionPipeline, run: Callable[[], object], steps: int) -> list[Tensor]:
    """The latents after each step of an uncached run.

    Args:
        pipe: a diffusers pipeline with no schedule in force.
        run: calls it once.
        steps: denoising steps of that call.

    Returns:
        ``steps`` tensors of the latents' shape, on the CPU.

    Raises:
        EvaluationError: the pipeline does not step its scheduler once for each of its steps.
    """
    path: list[Tensor] = []

    def keep(given: Mapping[str, Any], proceed: Proceed) -> None:
        if not given.keys() >= _GIVEN:
            told = ", ".join(given)
            raise EvaluationError(f"{type(pipe.scheduler).__name__} steps from {told}, which nothing can be fitted to.")
        path.append(proceed(given["model_output"]).detach().to("cpu", copy=True))  # of a video it is large

    with visited_steps(pipe.scheduler, keep):
        run()
    if len(path) != steps:
        raise EvaluationError(
            f"{type(pipe).__name__} makes {len(path)} steps of its {type(pipe.scheduler).__name__} in a run of "
            f"{steps}, so that nothing can be fitted to them."
        )
    return path


def fit_schedule(
    pipe: DiffusionPipeline, schedule: Schedule, run: Callable[[], object], path: Sequence[Tensor]
) -> Schedule:
    """The schedule with coefficients fitted to an uncached run.

    Args:
        pipe: a diffusers pipeline that the schedule is in force on, without any fitted coefficients.
        schedule: it.
        run: calls the pipeline once, as for the path.
        path: see :func:`uncached_path`, of a run of as many steps.

    Raises:
        EvaluationError: the run left all numbers.
    """
    table = as_it_is(schedule.steps)
    otherwise = schedule.skip | schedule.used.any(axis=1) | schedule.guidance.alone
    first = int(otherwise.argmax()) if otherwise.any() else schedule.steps

    def fit(step: int, given: Mapping[str, Any], terms: dict[int, Tensor]) -> NDArray[np.float32]:
        if step >= first and _LATENTS in terms:  # before, there is nothing to make up for
            table[step] = _coefficients(pipe.scheduler, given, path[step], terms)
        row: NDArray[np.float32] = table[step]
        return row

    with visited_steps(pipe.scheduler, FittedSteps(schedule, fit).visit):
        run()
    return schedule.with_fitted(table)


def _latents(stepped: Any) -> Tensor:
    found: Tensor = stepped[0]
    return found


def _coefficients(
    scheduler: Any, given: Mapping[str, Any], target: Tensor, terms: Mapping[int, Tensor]
) -> NDArray[np.float32]:
    """``(11,)``: by which the next latents come nearest to a target; as it is where outputs hardly move them."""
    found: NDArray[np.float32] = as_it_is(1)[0]
    still, moved = (_after(scheduler, given, value) for value in (0.0, 1.0))
    unit = float((moved - still).mean())
    if not abs(unit) > _LEAST_MOVE:
        return found
    places = sorted(terms)
    plain = np.array([place == places[0] for place in places], dtype=np.float64)
    # On the processor, since not every device has float64.
    rows = torch.stack([terms[place].flatten() for place in places]).cpu().double()
    wanted = (target.double() - still).flatten() / unit
    gram, right = (rows @ rows.T).numpy(), (rows @ wanted).numpy()
    ridge = np.diag(_RIDGE[places] * np.diag(gram))
    if not np.isfinite(gram).all() or not np.isfinite(right).all() or not np.diag(gram).all():
        raise EvaluationError("Coefficients of a step cannot be fitted: its outputs are not finite, or all 0.")
    solved = plain + np.linalg.solve(gram + ridge, right - gram @ plain)
    found[:] = 0
    found[places] = [float(f"{number:.{_DIGITS}g}") for number in solved]
    return found


def _after(scheduler: Any, given: Mapping[str, Any], value: float) -> Tensor:
    """The latents after a step with one value for an output, by a copy of the scheduler; float64 on the processor."""
    generator = given.get("generator")
    generators = [each for each in (generator if isinstance(generator, list) else [generator]) if each is not None]
    states = [each.get_state() for each in generators]  # of noise that the step itself must draw again
    output = torch.full_like(given["model_output"], value)
    stepped = type(scheduler).step(copy.deepcopy(scheduler), **{**given, "model_output": output})
    for each, state in zip(generators, states, strict=True):
        each.set_state(state)
    return _latents(stepped).cpu().double()
