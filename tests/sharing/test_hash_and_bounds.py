from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given

from ecad_automl.errors import FileError
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import (
    MAX_SCHEDULE_BYTES,
    from_document,
    load_schedule,
    save_schedule,
    schedule_sha256,
    to_document,
)
from tests.sharing.examples import LAYOUT, METADATA, every, schedules


@given(one=schedules(), other=schedules())
def test_schedules_hash_alike_where_they_are_equal(one: Schedule, other: Schedule) -> None:
    assert (schedule_sha256(one) == schedule_sha256(other)) == (one == other)
    assert schedule_sha256(one) == schedule_sha256(Schedule(one.layout, one.effective))


def test_the_hash_knows_every_bit_the_steps_and_the_slots() -> None:
    schedule = every(2)
    hashes = {schedule_sha256(schedule), schedule_sha256(every(2, 7)), schedule_sha256(every(2, 8))}
    other = Layout("Other", LAYOUT.slots)
    hashes.add(schedule_sha256(Schedule(other, schedule.compute)))
    for step in range(1, 6):
        bits = np.array(schedule.compute)
        bits[step, 0] ^= True
        hashes.add(schedule_sha256(Schedule(LAYOUT, bits)))
    assert len(hashes) == 9


@given(schedule=schedules())
def test_a_schedule_that_was_changed_after_it_was_written_is_refused(schedule: Schedule) -> None:
    document = to_document(schedule)
    other = Schedule(schedule.layout, np.ones_like(schedule.compute))
    assume(other != schedule)
    document |= {name: to_document(other)[name] for name in ("bits", "view")}
    with pytest.raises(FileError, match="for 'sha256', but its bits, slots and steps have") as caught:
        from_document(document, "here")
    assert "\n" not in str(caught.value)


def test_a_renamed_slot_and_a_hash_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_schedule(path, every(2), METADATA)
    path.write_text(path.read_text().replace("FluxTransformer2DModel", "FluxTransformer3DModel"))
    with pytest.raises(FileError, match=rf"{path} is damaged: it has '[0-9a-f]{{64}}' for 'sha256'"):
        load_schedule(path)
    for wrong in (None, 7, "", schedule_sha256(every(2)).upper()):
        with pytest.raises(FileError, match="for 'sha256'"):
            from_document(to_document(every(2)) | {"sha256": wrong}, "here")


def test_large_files_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    save_schedule(path, every(2))
    padded = path.read_text()
    path.write_text(padded + " " * (MAX_SCHEDULE_BYTES - len(padded)))
    assert load_schedule(path).schedule == every(2)
    path.write_text(padded + " " * (MAX_SCHEDULE_BYTES - len(padded) + 1))
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(FileError, match=f"more than {MAX_SCHEDULE_BYTES} bytes, too many for a schedule file"):
        load_schedule(path)


@pytest.mark.parametrize(("slots", "steps"), [(10_001, 1), (1, 10_001)])
def test_files_that_would_keep_the_reader_busy_are_refused(slots: int, steps: int) -> None:
    layout = {"transformer": "T", "slots": [{"block": str(i), "component": "c"} for i in range(slots)]}
    document = {"schema": "ecad-automl/schedule/1", "steps": steps, "layout": layout}
    for bits in ({"view": {"c": ["1" * slots] * steps}}, {"bits": "00" * -(-slots * steps // 8)}):
        with pytest.raises(FileError, match="10001 (slots|steps), but at most 10000 are read"):
            from_document(json.loads(json.dumps(document | bits)), "here")


def test_a_schedule_of_a_thousand_steps_is_within_the_bounds(tmp_path: Path) -> None:
    from ecad_automl.schedules.layout import Slot

    slots = tuple(Slot(f"blocks.{block}", name) for block in range(70) for name in ("attn1", "attn2", "ff"))
    schedule = Schedule.all_compute(Layout("T", slots), 1000)
    save_schedule(tmp_path / "a.json", schedule)
    assert load_schedule(tmp_path / "a.json").schedule == schedule
