"""Runs a benchmark: warm-up, then interleaved rounds, for each batch size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ecad_automl.errors import EcadError, EvaluationError
from ecad_automl.judging.machine import machine
from ecad_automl.latency.bench_plan import PROMPTS, SETTLE, BenchPlan, Progress
from ecad_automl.latency.contenders import UNCACHED, Contender
from ecad_automl.latency.result import Batch, BenchResult, Row
from ecad_automl.latency.timing import Clock, Timing, clock_of, interleaved, time_call
from ecad_automl.models import LoadedModel
from ecad_automl.models.generation import encode_prompts, remembered_texts, stack_prompts
from ecad_automl.models.memory import running_device
from ecad_automl.runtime.instrument import transformers_of


class Calls:
    """Prepared calls of a pipeline.

    Args:
        model: the pipeline and how it is called; with calls of its own, one of these at a time, the first.
        prompts: encoded once; taken in turn to fill a batch.
        whole: whether a call goes on to the finished image.
        clock: how time is taken; that of the transformer's device by default.
    """

    def __init__(
        self, model: LoadedModel, prompts: Sequence[str] = PROMPTS, *, whole: bool = True, clock: Clock | None = None
    ) -> None:
        self._transformers = transformers_of(model.pipe)
        self.transformer = self._transformers[0]
        self.device = running_device(model.pipe)
        self._model = model
        self._encoded: Sequence[Mapping[str, Any]] = (
            encode_prompts(model.pipe, prompts, model.settings) if model.calls is None else model.calls.arguments[:1]
        )
        self._texts: dict[str, Any] = {}  # what the pipeline made of prompts that it takes as text
        self._output = "pt" if whole else "latent"
        self._clock = clock or clock_of(self.device)
        model.pipe.set_progress_bar_config(disable=True)

    def call(self, batch_size: int, steps: int) -> None:
        """One call.

        Raises:
            EvaluationError: calls of one image each were to make several.
        """
        if self._model.calls is not None and batch_size > 1:
            raise EvaluationError(f"Calls are timed one at a time, but {batch_size} at once were asked for; take 1.")
        encoded = [self._encoded[index % len(self._encoded)] for index in range(batch_size)]
        noise = [torch.Generator("cpu").manual_seed(seed) for seed in range(batch_size)]
        settings = replace(self._model.settings, steps=steps)
        with remembered_texts(self._model.pipe, self._texts):
            self._model.pipe(
                **stack_prompts(encoded),
                **settings.call_arguments(),
                generator=noise if batch_size > 1 else noise[0],  # not all pipelines take a list
                output_type=self._output,
            )

    def time(self, batch_size: int, steps: int) -> Timing:
        """One call, timed."""
        return time_call(lambda: self.call(batch_size, steps), self._transformers, self._clock)

    def memory(self, batch_size: int, steps: int, state: Any) -> tuple[int | None, int | None]:
        """One call, watched: the most bytes of cached outputs after any forward, and the most of the device.

        The former are told where the state, which is what entering the contender gave, has ``cache_bytes``.
        """
        held: list[int] = []

        def look(*_: object) -> None:
            held.append(int(state.cache_bytes()))

        watched = self._transformers if hasattr(state, "cache_bytes") else ()
        hooks = [transformer.register_forward_hook(look) for transformer in watched]
        on_cuda = self.device.type == "cuda"
        if on_cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        try:
            self.call(batch_size, steps)
        finally:
            for hook in hooks:
                hook.remove()
        peak = int(torch.cuda.max_memory_allocated(self.device)) if on_cuda else None
        return max(held, default=None), peak

    def macs(self, batch_size: int, steps: int) -> int:
        """One call, counted: multiply-accumulates of the transformer."""
        # PyTorch's counter knows the fused attention of CUDA, but not that of the CPU.
        attention = nullcontext() if self.device.type == "cuda" else sdpa_kernel(SDPBackend.MATH)
        with attention, FlopCounterMode(display=False) as counter:
            self.call(batch_size, steps)
        flops: int = sum(counter.get_flop_counts()[type(self.transformer).__name__].values())
        return flops // 2


def device_name(device: torch.device) -> str:
    """Name of the accelerator, or of the kind of device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def run_bench(
    model: LoadedModel,
    contenders: Sequence[Contender],
    plan: BenchPlan,
    progress: Progress = lambda *_: None,
    *,
    prompts: Sequence[str] = PROMPTS,
    clock: Clock | None = None,
) -> BenchResult:
    """Time contenders; the first must be the uncached one.

    Ctrl-C ends it: the rounds that were whole by then are returned. A batch size that fails after an earlier one
    went well is listed as failed.

    Raises:
        EvaluationError: the pipeline cannot be called so.
        EcadError: of the runtime, where a schedule cannot be run.
    """
    calls = Calls(model, prompts, whole=plan.whole, clock=clock)
    sessions: list[_Session] = []
    complete = True
    try:
        for size in plan.batch_sizes:
            sessions.append(_Session(calls, size, plan, progress))
            sessions[-1].run(contenders, first=len(sessions) == 1)
    except KeyboardInterrupt:
        complete = False
    batches = tuple(session.batch for session in sessions if session.batch.rounds or UNCACHED in session.batch.failed)
    return BenchResult(_about(model, plan, calls), batches, plan.whole, complete)


class _Session:
    """One batch size; whatever ends it, ``batch`` holds its whole rounds."""

    def __init__(self, calls: Calls, size: int, plan: BenchPlan, progress: Progress) -> None:
        self._calls = calls
        self._plan = plan
        self._progress = progress
        self._contenders: dict[str, Contender] = {}
        self._failed: dict[str, str] = {}
        self.batch = Batch(size, ())

    def run(self, contenders: Sequence[Contender], *, first: bool) -> None:
        """Warm up, then time; after the first batch size a failure is listed instead of raised."""
        try:
            self._warm_up(contenders)
            for found in interleaved(list(self._contenders), self._time, self._plan.repeats):
                self._add(found)
        except EcadError as error:
            if first:
                raise
            self.batch = Batch(self.batch.size, (), {UNCACHED: str(error)})

    def _warm_up(self, contenders: Sequence[Contender]) -> None:
        rows: list[Row] = []
        counted = any(contender.mac_speedup is None for contender in contenders)
        full: int | None = None
        for contender in contenders:
            self._progress(self.batch.size, f"warm-up of {contender.name}", self._plan.warmup)
            with self._tried(contender), contender.enter() as state:
                size, steps, mac_speedup = self.batch.size, contender.steps, contender.mac_speedup
                cache, peak = self._calls.memory(size, steps, state)
                if counted and contender.name == UNCACHED:
                    full = self._calls.macs(size, steps)
                if mac_speedup is None and full:
                    mac_speedup = full / self._calls.macs(size, steps)
                for _ in range(self._plan.warmup - 1):
                    self._calls.call(size, steps)
                name, kind = contender.name, contender.kind
                rows.append(Row(name, kind, steps, mac_speedup, cache_bytes=cache, peak_bytes=peak))
                self._contenders[contender.name] = contender
        self.batch = replace(self.batch, rows=tuple(rows), failed=self._failed)

    def _time(self, name: str) -> Timing | None:
        """One turn of a contender; None where it has failed."""
        if name in self._failed:
            return None
        contender = self._contenders[name]
        self._progress(self.batch.size, name, self._plan.calls_per_turn(changed=contender.changes))
        with self._tried(contender), contender.enter():
            for _ in range(SETTLE if contender.changes else 0):
                self._calls.call(self.batch.size, contender.steps)
            return self._calls.time(self.batch.size, contender.steps)
        return None

    def _add(self, found: Mapping[str, Timing | None]) -> None:
        rows = []
        for row in self.batch.rows:
            timing = found[row.name]
            if timing is not None:
                whole, transformer = (*row.whole, timing.whole), (*row.transformer, timing.transformer)
                rows.append(replace(row, whole=whole, transformer=transformer))
        self.batch = replace(self.batch, rows=tuple(rows), failed=self._failed)

    @contextmanager
    def _tried(self, contender: Contender) -> Iterator[None]:
        """Notes why a contender fails; of a required one the error goes on, as one of ours."""
        try:
            yield
        # Pipelines, PyTorch and other caches raise what they like: wrong sizes, missing methods, no memory.
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            if not isinstance(error, EcadError):
                reason = f"{type(error).__name__}: {reason}".removesuffix(": ")
            if not contender.required:
                self._failed[contender.name] = reason
            elif isinstance(error, EcadError):
                raise
            else:
                raise EvaluationError(f"The run {contender.name!r} cannot be made ({reason}).") from error


def _about(model: LoadedModel, plan: BenchPlan, calls: Calls) -> dict[str, Any]:
    return {
        "machine": machine(),
        "device": str(calls.device),
        "device_name": device_name(calls.device),
        "cuda": torch.version.cuda if calls.device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "model": model.name,
        "revision": model.revision,
        "pipeline": type(model.pipe).__name__,
        "transformer": type(model.pipe.transformer).__name__,
        "scheduler": type(model.pipe.scheduler).__name__,
        "dtype": str(model.pipe.transformer.dtype).removeprefix("torch."),
        "generation": model.settings.to_dict(),
        "warmup": plan.warmup,
        "settle": SETTLE,
        "repeats": plan.repeats,
    }
