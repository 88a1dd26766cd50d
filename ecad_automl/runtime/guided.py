"""Transformer calls of which only the branch with the prompt is computed, while the pipeline gets both.

Where a pipeline puts both guidance branches into one batch, the transformer is entered with half of the batch; where it
calls the transformer for each, the second call is answered without entering it. The answer for the other branch is the
conditional output less a difference of before, or the conditional output itself, which is no guidance. The pipeline
then makes of the two outputs what it always does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from ecad_automl.errors import CacheStateError, ScheduleError, UnsupportedModelError
from ecad_automl.runtime.cache import Entry, OutputCache, forecast, tensors_in
from ecad_automl.runtime.families import OneBatch, family_of
from ecad_automl.runtime.steps import Call, ContextKey
from ecad_automl.schedules.guidance import NONE, Guidance

Tensors = list[torch.Tensor]

_SECOND = ("uncond", "pred_uncond", "negative")


class Branch(Enum):
    """The guidance branches of a transformer call."""

    #: Both in one batch, or all that there is.
    TOGETHER = "together"
    CONDITIONAL = "conditional"
    UNCONDITIONAL = "unconditional"


class Halves:
    """Takes batches of both guidance branches apart, and puts them together.

    Args:
        how: they lie in a batch.
        transformer: whose batches they are.
    """

    def __init__(self, how: OneBatch, transformer: nn.Module) -> None:
        self._how = how
        #: Whether outputs are lists with one of each image.
        self.gives_lists = how.lists
        self._names = list(inspect.signature(type(transformer).forward).parameters)[1:]

    def split(self, tensors: Sequence[torch.Tensor]) -> tuple[Tensors, Tensors]:
        """The conditional and the other half of an output: of each tensor, or where there are lists, of these."""
        if self._how.lists:
            half = len(tensors) // 2
            first, second = list(tensors[:half]), list(tensors[half:])
        else:
            pairs = [tensor.chunk(2) for tensor in tensors]
            first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        return (first, second) if self._how.conditional_first else (second, first)

    def conditional(self, tensor: torch.Tensor, dim: int = 0) -> torch.Tensor:
        """The conditional half of what a slot gave for both."""
        return tensor.chunk(2, dim)[0 if self._how.conditional_first else 1]

    def beside(self, conditional: torch.Tensor, both: torch.Tensor) -> torch.Tensor:
        """The conditional half beside the other one of what a slot gave for both."""
        other = both.chunk(2)[1 if self._how.conditional_first else 0]
        return torch.cat((conditional, other) if self._how.conditional_first else (other, conditional))

    def joined(self, conditional: Tensors, other: Tensors) -> Tensors:
        """The inverse of :meth:`split`."""
        first, second = (conditional, other) if self._how.conditional_first else (other, conditional)
        if self._how.lists:
            return first + second
        return [torch.cat(pair) for pair in zip(first, second, strict=True)]

    def are_both(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a call is of both branches: its images come twice. This reads tensors."""
        images = args[0] if args else next(iter(kwargs.values()))
        first, second = images[: len(images) // 2], images[len(images) // 2 :]
        return len(first) == len(second) > 0 and _are_equal(first, second)

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Check that a call is of both branches: its images come twice.

        This reads tensors, once in a run.

        Raises:
            ScheduleError: it is not.
        """
        if not self.are_both(args, kwargs):
            raise ScheduleError(
                "The schedule says in which steps there is guidance, but this run has none: its images do not come "
                "twice in a batch. Call the pipeline with a guidance_scale above 1, or use a schedule without."
            )
        if self._how.lists:
            self._check_lengths(*args, *kwargs.values())

    def _check_lengths(self, images: Any, *values: Any) -> None:
        """The conditional half by itself must be padded as it is in the batch."""
        count = len(images)
        for value in values:
            if isinstance(value, list) and len(value) == count:
                lengths = [-(-len(text) // self._how.padded) for text in value]
                if max(self._half(lengths, count)) < max(lengths):
                    raise ScheduleError(
                        "The negative prompt is longer than the prompt, so that outputs of both in a batch do not fit "
                        "those of the prompt alone; give a shorter one, or use a schedule that computes both always."
                    )

    def of_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of the conditional half of a call."""
        count = len(args[0] if args else next(iter(kwargs.values())))
        names = [*self._names[: len(args)], *kwargs]
        values = [self._named(*named, count) for named in zip(names, (*args, *kwargs.values()), strict=True)]
        return tuple(values[: len(args)]), dict(zip(kwargs, values[len(args) :], strict=True))

    def _named(self, name: str, value: Any, count: int) -> Any:
        if name in self._how.shared:
            return value
        return self.conditional(value, dim=1) if name in self._how.second else self._half(value, count)

    def _half(self, value: Any, count: int) -> Any:
        if isinstance(value, torch.Tensor):
            return self.conditional(value) if value.ndim and len(value) == count else value
        if isinstance(value, dict):
            return {key: self._half(part, count) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            if self._how.lists and len(value) == count:
                half = count // 2
                return value[:half] if self._how.conditional_first else value[half:]
            return type(value)(self._half(part, count) for part in value)
        return value


def is_second(context: ContextKey) -> bool:
    """Whether calls of a guidance branch are of the one without the prompt, by its name or place in a step."""
    name, number = context
    return name in _SECOND if name is not None else number == 1


def _are_equal(first: Any, second: Any) -> bool:
    """Whether two halves of a batch, or of a list, are the same."""
    return all(map(torch.equal, tensors_in(first), tensors_in(second)))


class GuidedCalls:
    """What is done with whole transformer calls for the guidance of a schedule.

    Args:
        cache: where differences are kept, as the entry after the transformer's output.
    """

    def __init__(self, cache: OutputCache) -> None:
        self._cache = cache
        self._guidance: Guidance | None = None
        self.halves: Halves | None = None
        self.branch = Branch.TOGETHER
        #: Whether the transformer is to be entered with the conditional half of this call's batch.
        self.halved = False
        #: Whether this call is answered without entering the transformer.
        self.answered = False
        self._entry: Entry = (0, 0)
        self._step = 0
        self._second = False  # whether an unconditional call was seen in this run
        self._given: tuple[int, Tensors, Any] | None = None  # step, tensors and form of the last conditional output

    @property
    def acts(self) -> bool:
        """Whether anything is other than without a schedule."""
        return self._guidance is not None

    def take(self, guidance: Guidance, entry: Entry, transformer: nn.Module) -> None:
        """From now on, do so."""
        how = family_of(transformer).one_batch
        self._guidance = None if guidance.is_full else guidance
        self._entry = entry
        self.branch, self.halved, self.answered = Branch.TOGETHER, False, False
        self.halves = None if how is None or guidance.is_full else Halves(how, transformer)
        self._last_read = guidance.last_read

    def begin(self, call: Call) -> None:
        """A transformer call begins."""
        guidance = self._guidance
        if guidance is None:
            return
        if call.new_run:
            self._second = False
        self._step = call.step
        self.branch = self._branch_of(call)
        alone = bool(guidance.alone[call.step])
        self.halved = alone and self.branch is Branch.TOGETHER
        self.answered = alone and self.branch is Branch.UNCONDITIONAL

    def forward(self, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of a call that is not skipped."""
        guidance = self._guidance
        if guidance is None:
            return forward(*args, **kwargs)
        if self.answered:
            tensors, tree = self._conditional()
            return tree_unflatten(self._other(tensors), tree)
        self._check(args, kwargs)
        if self.halved:
            assert self.halves is not None
            args, kwargs = self.halves.of_call(args, kwargs)
            return self._whole(forward(*args, **kwargs))
        result = forward(*args, **kwargs)
        self._note(result)
        return result

    def take_result(self, args: tuple[Any, ...], kwargs: dict[str, Any], result: object) -> None:
        """The transformer gave that for this call in another run, which did nothing about guidance so far either."""
        if self._guidance is not None:
            self._check(args, kwargs)
            self._note(result)

    def _note(self, result: object) -> None:
        if self.branch is Branch.CONDITIONAL:
            leaves, tree = tree_flatten(result)
            # In memory of their own, since pipelines may write to what they are given.
            copies = [leaf.clone() if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
            self._given = self._step, copies, tree
        elif self._last_read[self._step] >= 0:
            self._keep(result)

    def _check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.halves is not None and self._step == 0:
            self.halves.check(args, kwargs)

    def drop(self) -> None:
        """Forget the run."""
        self._given = None

    def _branch_of(self, call: Call) -> Branch:
        name, number = call.context
        if self.halves is not None:
            if number:
                raise CacheStateError(
                    f"The transformer is called {number + 1} times a step, beside one batch of both guidance branches; "
                    "a schedule that says where there is guidance is not for such calls, as of skip-layer guidance."
                )
            return Branch.TOGETHER
        second = is_second(call.context)
        if number > 1 or (name is not None and number):
            raise CacheStateError(
                f"The transformer is called for {self._told(call.context)} guidance branches in a step; a schedule "
                "that says where there is guidance is for two."
            )
        self._second = self._second or second
        if call.step == 1 and not self._second:
            raise ScheduleError(
                "The schedule says in which steps there is guidance, but this run has none: the transformer is called "
                "once a step. Call the pipeline with guidance and a negative prompt, or use a schedule without."
            )
        return Branch.UNCONDITIONAL if second else Branch.CONDITIONAL

    @staticmethod
    def _told(context: ContextKey) -> str:
        name, number = context
        return f"{number + 1} unnamed" if name is None else f"{number + 1} {name!r}"

    def _conditional(self) -> tuple[Tensors, Any]:
        if self._given is None or self._given[0] != self._step:
            raise CacheStateError(
                f"The branch without the prompt is called first at step {self._step}, before the one it is made of; "
                "a schedule that says where there is guidance needs the conditional call before it."
            )
        return self._given[1], self._given[2]

    def _whole(self, result: object) -> Any:
        """The output for both branches of that for the conditional one."""
        assert self.halves is not None
        leaves, tree = tree_flatten(result)
        joined = self.halves.joined(leaves, self._other(leaves))
        return (joined,) if self.halves.gives_lists else tree_unflatten(joined, tree)

    def _other(self, conditional: Tensors) -> Tensors:
        """What the branch without the prompt is taken to have given."""
        guidance, step = self._guidance, self._step
        assert guidance is not None
        if guidance.actions[step] == NONE:
            return [tensor.clone() for tensor in conditional]
        count = 2 if guidance.levels[step] else 1
        sources = guidance.sources[:count, step].tolist()
        read = [
            self._cache.read((*self._entry, source), last=bool(self._last_read[source] == step)) for source in sources
        ]
        first, second = guidance.coefficients[step].tolist()
        kept = read[0]
        if count > 1:
            kept = [forecast(last, before, (first, second)) for last, before in zip(*read, strict=True)]
        return [(one - less).to(one.dtype) for one, less in zip(conditional, kept, strict=True)]

    def _keep(self, result: object) -> None:
        """Keep the difference of both branches."""
        tensors: Tensors = tree_flatten(result)[0]
        if self.halves is not None:
            conditional, other = self.halves.split(tensors)
        else:
            conditional, other = self._conditional()[0], tensors
        # Guidance multiplies what is lost here.
        wide = [torch.promote_types(tensor.dtype, torch.float32) for tensor in other]
        kept = [one.to(kind) - two.to(kind) for one, two, kind in zip(conditional, other, wide, strict=True)]
        self._cache.store((*self._entry, self._step), kept, as_is=True)


def check_guidance(pipe: Any) -> None:
    """Check that a pipeline makes of two guidance branches what can be made of one and a difference.

    Raises:
        UnsupportedModelError: it does not.
    """
    if hasattr(pipe, "set_pag_applied_layers"):
        raise UnsupportedModelError(
            f"{type(pipe).__name__} perturbs the attention of a further guidance branch, which a schedule that says "
            "where there is guidance does not know; use the pipeline without it, or a schedule without."
        )
