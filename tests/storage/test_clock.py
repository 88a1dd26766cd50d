"""The lock of a study whose holder's wall clock jumps."""

from __future__ import annotations

from pathlib import Path

from tests.clock import JUMPS, run_in_jumping_time

HOLD = """
import sys
from ecad_automl.errors import StorageError
from storage import writer_lock
from tests.clock import JUMPS, Clock

location, clock = sys.argv[1], Clock(sys.argv[2])
with writer_lock(location, "s") as lock:
    for _ in JUMPS:
        clock.jump()
        lock.ensure()
        try:
            # Who waits counts seconds, too.
            with writer_lock(location, "s", wait=0.2, waiting=lambda _: clock.jump()):
                print("lost")
        except StorageError:
            print("refused")
with writer_lock(location, "s"):
    print("free")
"""


def test_a_lock_outlives_jumps_of_the_clock_and_is_waited_for_as_long_as_was_said(
    tmp_path: Path, location: str
) -> None:
    clock = tmp_path / "clock"
    said = run_in_jumping_time(["-c", HOLD, location, clock], clock)
    assert said.split() == ["refused"] * len(JUMPS) + ["free"]
