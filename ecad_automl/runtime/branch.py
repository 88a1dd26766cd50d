"""What is kept from run to run for one guidance branch whose transformer calls go by CUDA graphs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from ecad_automl.runtime.buffers import SlotBuffers, StaticInputs, TextBuffers
from ecad_automl.runtime.capture import Captured

__all__ = ["Branch", "Graph"]


@dataclass
class Graph:
    """A captured transformer call.

    Args:
        captured: the work.
        held: memory that it reads and that perhaps nobody else holds.
    """

    captured: Captured
    held: list[torch.UntypedStorage]


@dataclass
class Branch:
    """A guidance branch.

    Args:
        spec: of the arguments.
        inputs: their copies.
        slots: cached outputs.
        text: kept text.
        asked: for each pattern that was warmed up, the text modules that it asks.
        graphs: by pattern and the kept text that held.
        replaced: how many buffers had been replaced when that was last looked at.
    """

    spec: Any
    inputs: StaticInputs
    slots: SlotBuffers
    text: TextBuffers = field(default_factory=TextBuffers)
    asked: dict[int, frozenset[int]] = field(default_factory=dict)
    graphs: dict[tuple[int, frozenset[int]], Graph] = field(default_factory=dict)
    replaced: int = 0

    def drop_graphs(self) -> None:
        """Forget what was captured, and that anything was warmed up; buffers stay as they are."""
        self.asked.clear()
        self.graphs.clear()

    def drop_misplaced(self) -> None:
        """Forget what was captured if a buffer had to be replaced since."""
        replaced = self.slots.replaced + self.text.replaced
        if replaced != self.replaced:
            self.replaced = replaced
            self.drop_graphs()

    def end_run(self) -> None:
        """A run is over: its text holds no longer."""
        self.text.valid.clear()
        self.inputs.forget()
