from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecad_automl.errors import FileError, ScheduleError
from ecad_automl.schedules.ecad_format import ecad_macs, read_ecad, write_ecad
from ecad_automl.schedules.ecad_macs import ecad_layout
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import save_schedule

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data" / "ecad_schedules"
PUBLISHED = Path(os.environ.get("ECAD_SCHEDULES", BESIDE))
NAMES = (
    "flux_256-ours_fast.json",
    "flux_256-ours_faster.json",
    "pixart_alpha_256-ours_fast.json",
    "pixart_alpha_256-ours_faster.json",
    "pixart_alpha_256-ours_fastest.json",
    "pixart_sigma_256-ours_fast.json",
)
ALPHA_1024 = {"transformer_weights": "PixArt-alpha/PixArt-XL-2-1024-MS"}


@pytest.fixture(params=NAMES)
def published(request: pytest.FixtureRequest) -> Path:
    path = PUBLISHED / request.param
    if not path.is_file():
        pytest.skip(f"{path} is not here; set ECAD_SCHEDULES to the folder of the ECAD authors' files")
    return path


def test_published_bits_come_back_byte_for_byte(published: Path, tmp_path: Path) -> None:
    file = read_ecad(published)
    write_ecad(tmp_path / "again.json", file.schedule, name=file.name)
    old, new = (json.loads(path.read_text())["cache_schedule"] for path in (published, tmp_path / "again.json"))
    assert new | {"attributes": old["attributes"]} == old
    written = (tmp_path / "again.json").read_text()
    rows = json.dumps(old["schedule"], indent=4).replace("\n", "\n        ")
    assert rows in published.read_text()
    assert rows in written


def test_macs_equal_the_published_ones_to_the_unit(published: Path, tmp_path: Path) -> None:
    file = read_ecad(published)
    assert ecad_macs(file.schedule, file.config) == file.metrics["total_macs"]
    write_ecad(tmp_path / "counted.json", file.schedule, name=file.name)
    counted = read_ecad(tmp_path / "counted.json").metrics
    assert counted["total_macs_T"] == file.metrics["total_macs_T"]
    steps = {step: row["macs"] for step, row in file.metrics["by_inference_step"].items()}
    assert {step: row["macs"] for step, row in counted["by_inference_step"].items()} == steps


def test_published_bits_are_those_of_the_json(published: Path) -> None:
    file = read_ecad(published)
    cache = json.loads(published.read_text())["cache_schedule"]
    assert file.schedule.steps == cache["num_inference_steps"] == 20
    assert file.name == cache["name"]
    wanted = sum(value for row in cache["schedule"].values() for block in row.values() for value in block.values())
    assert int(file.schedule.compute.sum()) == wanted
    flux = "flux" in published.name
    for slot, column in zip(file.schedule.layout.slots, file.schedule.compute.T, strict=True):
        single = slot.block.startswith("single_")
        block = slot.block.replace("single_transformer_blocks.", "single_").replace("transformer_blocks.", "")
        component = ("single_" if single else "full_" if flux else "") + slot.component
        assert column.tolist() == [cache["schedule"][f"{step:03d}"][block][component] for step in range(20)]


def test_layouts_are_those_of_the_diffusers_classes() -> None:
    pixart = ecad_layout(28, 0)
    assert pixart.transformer == "PixArtTransformer2DModel"
    assert [slot.name for slot in pixart.slots[:4]] == [
        "transformer_blocks.0.attn1",
        "transformer_blocks.0.attn2",
        "transformer_blocks.0.ff",
        "transformer_blocks.1.attn1",
    ]
    assert len(pixart) == 84
    assert {slot.reader for slot in pixart.slots} == {None}
    flux = ecad_layout(19, 38)
    assert flux.transformer == "FluxTransformer2DModel"
    assert len(flux) == 171
    assert [(slot.component, slot.reader) for slot in flux.slots[:3]] == [
        ("attn", None),
        ("ff", None),
        ("ff_context", None),
    ]
    assert [(slot.name, slot.reader) for slot in flux.slots[-3:]] == [
        ("single_transformer_blocks.37.proj_mlp", "proj_out"),
        ("single_transformer_blocks.37.attn", "proj_out"),
        ("single_transformer_blocks.37.proj_out", None),
    ]


@pytest.mark.parametrize(
    ("doubles", "singles", "config", "step_macs", "constant"),
    [
        # Of the files in the authors' repository: macs of a step that computes everything, and of one that computes
        # nothing (where a file has one).
        (28, 0, {}, 285_689_806_848, 1_498_447_872),
        (28, 0, ALPHA_1024, 4_281_442_172_928, None),
        (19, 38, {"height": 256, "width": 256}, 9_934_575_501_312, 19_643_498_496),
        (19, 38, {"height": 1024, "width": 1024}, 59_512_255_414_272, 22_663_397_376),
    ],
)
def test_macs_of_a_step_equal_the_published_ones_at_each_resolution(
    doubles: int, singles: int, config: dict[str, Any], step_macs: int, constant: int | None
) -> None:
    layout = ecad_layout(doubles, singles, config)
    assert layout.step_macs == step_macs
    assert constant in (None, layout.constant_macs)
    assert ecad_macs(Schedule.all_compute(layout, 3), config) == 3 * step_macs


def test_macs_count_the_bits_as_given_but_for_the_first_step() -> None:
    layout = ecad_layout(19, 38)
    bits = np.zeros((3, len(layout)), dtype=np.bool_)
    bits[1, -2] = True  # an attention that no proj_out reads afterwards
    macs = layout.slot_macs[-2]
    assert ecad_macs(Schedule(layout, bits)) == 3 * layout.constant_macs + layout.slot_macs.sum() + macs
    assert Schedule(layout, bits).macs == ecad_macs(Schedule(layout, bits)) - macs


def test_a_schedule_with_other_macs_is_counted_by_theirs() -> None:
    theirs = ecad_layout(28, 0)
    ours = Layout(theirs.transformer, tuple(Slot(slot.block, slot.component, macs=1) for slot in theirs.slots))
    assert ecad_macs(Schedule.all_compute(ours, 20)) == 20 * theirs.step_macs


def test_macs_of_an_unknown_depth_are_not_made_up(tmp_path: Path) -> None:
    small = Schedule.all_compute(ecad_layout(4, 0), 2)
    assert small.macs == 0
    assert small.mac_fraction == 1.0
    with pytest.raises(ScheduleError, match="PixArt of 28 blocks and FLUX of 19 and 38"):
        ecad_macs(small)
    write_ecad(tmp_path / "small.json", small, name="small")
    assert read_ecad(tmp_path / "small.json").metrics == {}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(doubles=st.integers(1, 3), singles=st.integers(0, 3), steps=st.integers(1, 4), seed=st.integers(0, 99))
def test_written_files_keep_every_bit(doubles: int, singles: int, steps: int, seed: int, tmp_path: Path) -> None:
    layout = ecad_layout(doubles, singles)
    schedule = Schedule(layout, np.random.default_rng(seed).random((steps, len(layout))) < 0.5)
    path = tmp_path / "written.json"
    write_ecad(path, schedule, name="x")
    file = read_ecad(path)
    assert file.schedule == schedule
    np.testing.assert_array_equal(file.schedule.compute, schedule.compute)
    assert (file.name, file.config, file.metrics) == ("x", {}, {})


def test_a_schedule_that_skips_or_forecasts_has_no_form_there(tmp_path: Path) -> None:
    layout = ecad_layout(28, 0)
    schedule = Schedule(layout, np.ones((3, len(layout))), [0, 0, 1])
    with pytest.raises(ScheduleError, match=r"skips steps \(1\), .* `--use reuse`"):
        write_ecad(tmp_path / "a.json", schedule, name="a")
    with pytest.raises(ScheduleError, match="know only computing and reusing"):
        ecad_macs(schedule)
    assert not list(tmp_path.iterdir())


def test_schedules_of_other_transformers_cannot_be_written(tmp_path: Path) -> None:
    slots = tuple(Slot(f"transformer_blocks.{block}", name) for block in range(2) for name in ("attn1", "ff"))
    for layout in (
        Layout("DiTTransformer2DModel", slots),
        Layout("PixArtTransformer2DModel", slots),
        Layout("WanTransformer3DModel", (Slot("blocks.0", "attn1"),)),
    ):
        with pytest.raises(ScheduleError, match="no form in the ECAD authors' files"):
            write_ecad(tmp_path / "a.json", Schedule.all_compute(layout, 2), name="x")
    assert not list(tmp_path.iterdir())


def document() -> dict[str, Any]:
    """A file of theirs for a FLUX of one double and one single block, two steps."""
    row = {
        "0": {"full_attn": True, "full_ff": False, "full_ff_context": True},
        "single_0": {"single_attn": True, "single_proj_mlp": True, "single_proj_out": False},
    }
    return {
        "cache_schedule": {
            "num_blocks": 1,
            "num_single_blocks": 1,
            "num_inference_steps": 2,
            "name": "x",
            "attributes": {},
            "schedule": {"000": row, "001": json.loads(json.dumps(row))},
        },
        "config": {},
        "metrics": {},
    }


def test_the_smallest_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(document()))
    schedule = read_ecad(tmp_path / "a.json").schedule
    assert schedule.compute.tolist() == [[True, False, True, True, True, False]] * 2


def damaged() -> dict[str, tuple[dict[str, Any] | str, str]]:
    cases: dict[str, tuple[dict[str, Any] | str, str]] = {
        "cut off": (json.dumps(document())[:200], "not JSON"),
        "not theirs": ({"a": 1}, "None for 'cache_schedule'"),
        "ours": ({"schema": "ecad-automl/schedule/1"}, "needs no conversion"),
        "cache list": ({"cache_schedule": []}, r"\[\] for 'cache_schedule'"),
        "skipped blocks": (document() | {"dit_schedule": {}}, "leaves out whole blocks"),
        "config list": (document() | {"config": []}, r"\[\] for 'config'"),
        "tgate": (document() | {"config": {"pipeline": {"name": "tgate"}}}, "heuristic 'tgate'"),
    }

    def case(name: str, message: str, *path: str, value: object = None) -> None:
        data = document()
        at = data["cache_schedule"]
        for key in path[:-1]:
            at = at[key]
        if value is None:
            del at[path[-1]]
        else:
            at[path[-1]] = value
        cases[name] = (data, message)

    case("no steps", "None for 'num_inference_steps'", "num_inference_steps")
    case("steps text", "'2' for 'num_inference_steps'", "num_inference_steps", value="2")
    case("steps more", "from 0 to 2", "num_inference_steps", value=3)
    case("blocks zero", "0 for 'num_blocks'", "num_blocks", value=0)
    case("blocks huge", "blocks that it says it has", "num_blocks", value=10**15)
    case("singles true", "True for 'num_single_blocks'", "num_single_blocks", value=True)
    case("no schedule", "from 0 to 1", "schedule")
    case("schedule list", r"\[\] for 'schedule'", "schedule", value=[])
    case("a step too few", "from 0 to 1", "schedule", "001")
    case("a step twice", "from 0 to 1", "schedule", "1", value=document()["cache_schedule"]["schedule"]["001"])
    case("a step of another name", "'first' among its steps", "schedule", "first", value={})
    case("a step that is a list", "2 blocks", "schedule", "001", value=[])
    case("a block too few", "2 blocks", "schedule", "001", "0")
    case("a block that is a list", "not an object", "schedule", "001", "0", value=[])
    case("a component too few", "needs", "schedule", "001", "0", "full_ff")
    case("a component too many", "'attn2'", "schedule", "001", "0", "attn2", value=True)
    case("a bit that is a number", "1 for 'full_ff'", "schedule", "001", "0", "full_ff", value=1)
    case("a custom function", "custom_compute_attn", "schedule", "001", "0", "custom_compute_attn", value={"name": "t"})
    other = document()
    steps = other["cache_schedule"]["schedule"]
    steps["001"] = {"0": steps["001"]["0"], "single_7": steps["001"]["single_0"]}
    cases["another block"] = (other, "None for the block 'single_0'")
    return cases


@pytest.mark.parametrize("case", list(damaged()))
def test_a_damaged_file_is_one_sentence_that_names_it(case: str, tmp_path: Path) -> None:
    content, message = damaged()[case]
    path = tmp_path / "damaged.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(FileError, match=message) as raised:
        read_ecad(path)
    assert str(path) in str(raised.value)
    assert str(raised.value).endswith(".")


def test_a_schedule_file_of_this_project_is_told_apart(tmp_path: Path) -> None:
    save_schedule(tmp_path / "ours.json", Schedule.all_compute(ecad_layout(1, 0), 2))
    with pytest.raises(FileError, match="use it as it is"):
        read_ecad(tmp_path / "ours.json")
    with pytest.raises(FileError, match="There is no schedule file of the ECAD authors"):
        read_ecad(tmp_path / "none.json")
