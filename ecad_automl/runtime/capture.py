"""Capturing the CUDA work of a function once, to run it again without its Python.

The part of :mod:`ecad_automl.runtime.graphs` that needs a GPU, and no more than that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch

__all__ = ["Captured", "Capturer", "CudaCapturer"]


class Captured(Protocol):
    """Captured work.

    Attributes:
        result: what the function returned. Its tensors hold anything at all until ``replay``, and hold what that wrote
            until the next replay or capture of the same capturer.
    """

    result: Any

    def replay(self) -> None:
        """Do the work again, on the same memory, which must all still be there."""


@runtime_checkable
class Capturer(Protocol):
    """Captures work; all that one has captured shares a pool of memory."""

    def warm_up(self, function: Callable[[], Any]) -> Any:
        """Run a function as it is, where captures will be made, and return what it gives."""

    def capture(self, function: Callable[[], Any]) -> Captured:
        """Run a function so that its work is noted and not done.

        Raises:
            Exception: the function does something that cannot be captured, such as waiting for the device.
        """


class _CudaGraph:
    def __init__(self, graph: torch.cuda.CUDAGraph, result: Any, device: torch.device) -> None:
        self.result = result
        self._graph, self._device = graph, device

    def replay(self) -> None:
        with torch.cuda.device(self._device):
            self._graph.replay()


class CudaCapturer:
    """Captures as CUDA graphs.

    All is warmed up and captured on one stream, so that what libraries set up for each stream is there before a
    capture. What the warm-ups allocate there goes back to that stream alone, which waits for the caller's stream
    before it does anything: so the caller may use it on its own stream.

    Args:
        device: the CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        with torch.cuda.device(device):
            self._stream: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, function: Callable[[], Any]) -> Any:
        """Run a function on the stream of captures."""
        caller = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(caller)
        try:
            with torch.cuda.stream(self._stream):
                return function()
        finally:
            caller.wait_stream(self._stream)

    def capture(self, function: Callable[[], Any]) -> _CudaGraph:
        """Capture a function as a CUDA graph."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device):
            caller = torch.cuda.current_stream()
            try:
                # Only what this thread does may spoil the capture: others may allocate and wait in the meantime, as
                # one that decodes images does.
                with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                    result = function()
            finally:
                # Where ending a failed capture fails too, torch leaves its stream the current one.
                torch.cuda.set_stream(caller)
        return _CudaGraph(graph, result, self._device)
