"""What is scored beside each other on a real model: schedules of the front, fewer steps and FORA, as schedule files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecad_automl.schedules.heuristics import default_heuristics
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import ScheduleFile, ScheduleMetadata, load_schedule, save_schedule

__all__ = ["SPEEDUPS", "Target", "carry", "write_contestants"]

#: MACs saved at which schedules are taken from the front.
SPEEDUPS = (1.5, 2.0, 2.5, 3.0, 4.0)
_FORA = ("fora-2", "fora-3")
#: What runs beside each other have in common.
_OF_THE_CALL = (
    *("model", "revision", "scheduler", "scheduler_config", "height", "width"),
    *("guidance_scale", "call", "dtype"),
)


@dataclass(frozen=True)
class Target:
    """A model that schedules are carried to.

    Args:
        model: folder or hub id.
        side: of its images, in pixels.
    """

    model: str
    side: int

    @classmethod
    def read(cls, text: str) -> Target:
        """From ``MODEL@SIDE``.

        Raises:
            ValueError: the text is none.
        """
        model, _, side = text.rpartition("@")
        if not model or not side.isascii() or not side.isdigit() or not int(side):
            raise ValueError(
                f"{text!r} is no model to carry schedules to; give it and the side of its images, MODEL@256."
            )
        return cls(model, int(side))

    @property
    def name(self) -> str:
        """For a folder."""
        return f"{Path(self.model).name}-{self.side}"


def write_contestants(front: Sequence[Path], folder: Path) -> list[str]:
    """Write all that is scored beside each other.

    Args:
        front: schedule files of a study's front.
        folder: where they go; made where it does not exist.

    Returns:
        Their names, each that of its file: ``search-2x`` for the schedule that saves at least that and least more,
        ``10-steps`` for an uncached run of as many steps, the fewest that save no more than it, and ``fora-2``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(map(load_schedule, front), key=lambda file: file.mac_speedup)
    written = dict(_contestants(files))
    for name, file in written.items():
        save_schedule(folder / f"{name}.json", file.schedule, file.metadata.model_copy(update={"name": name}))
    return list(written)


def _contestants(files: Sequence[ScheduleFile]) -> Iterator[tuple[str, ScheduleFile]]:
    one, layout, steps = files[0].metadata, files[0].schedule.layout, files[0].uncached_steps
    alike = ScheduleMetadata(**{name: getattr(one, name) for name in _OF_THE_CALL}, uncached_steps=steps)
    for speedup in SPEEDUPS:
        found = next((file for file in files if file.mac_speedup >= speedup), None)
        if found is not None:
            yield f"search-{speedup:g}x", found
        fewer = int(steps / speedup)
        if fewer > 1:
            yield f"{fewer}-steps", ScheduleFile(Schedule.all_compute(layout, fewer), alike)
    heuristics = default_heuristics(layout, steps)
    for name in _FORA:
        yield name, ScheduleFile(heuristics[name], alike)


def carry(files: Sequence[Path], target: Target, folder: Path) -> Path:
    """Write schedules once more, for another model of the same layout or another size of images.

    Args:
        files: schedule files.
        target: what they are carried to.
        folder: where they go; made where it does not exist.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        file = load_schedule(path)
        moved = {"model": target.model, "revision": None, "height": target.side, "width": target.side, "objectives": {}}
        save_schedule(folder / path.name, file.schedule, file.metadata.model_copy(update=moved))
    return folder
