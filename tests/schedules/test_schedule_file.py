from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ecad_automl.errors import FileError
from ecad_automl.files.json_file import write_texts
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import (
    SCHEMA,
    Measured,
    ScheduleMetadata,
    from_document,
    load_schedule,
    relevant_scheduler_config,
    save_schedule,
    schedule_sha256,
    software_versions,
    to_document,
)
from tests.sharing.examples import forecasting

LAYOUT = Layout(
    "FluxTransformer2DModel",
    (
        Slot("transformer_blocks.0", "attn", macs=5),
        Slot("transformer_blocks.0", "ff", macs=6),
        Slot("single_transformer_blocks.0", "proj_mlp", reader="proj_out", macs=7),
        Slot("single_transformer_blocks.0", "attn", reader="proj_out", macs=8),
        Slot("single_transformer_blocks.0", "proj_out", macs=9),
    ),
    constant_macs=3,
    sample={"height": 256, "width": 256, "batch": 2},
)
BITS = [[1, 1, 1, 1, 1], [0, 1, 1, 0, 0], [1, 0, 0, 1, 1], [0, 0, 0, 0, 0]]

METADATA = ScheduleMetadata(
    name="knee",
    model="black-forest-labs/FLUX.1-dev",
    revision="0ef5fff789c832c5c7f4e127f94c8b54bbcced44",
    scheduler="FlowMatchEulerDiscreteScheduler",
    scheduler_config={"shift": 3.0, "use_dynamic_shifting": True, "sigmas": None},
    height=256,
    width=256,
    guidance_scale=3.5,
    dtype="bfloat16",
    objectives={
        "reward": Measured(value=0.93, low=0.9, high=0.96, confidence=0.95, samples=1000),
        "gmacs": Measured(value=1234.5, unit="GMAC"),
    },
    study="flux",
    trial=17,
    origin="bred",
    versions={"diffusers": "0.42.1"},
    created="2026-05-09T12:00:00+00:00",
)


def schedule() -> Schedule:
    return Schedule(LAYOUT, BITS)


def test_everything_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "knee.json"
    save_schedule(path, schedule(), METADATA)
    file = load_schedule(path)
    assert file.schedule == schedule()
    assert file.metadata == METADATA
    assert file.schedule.layout.to_dict() == LAYOUT.to_dict()
    assert file.schedule.macs == schedule().macs


@settings(deadline=None)
@given(bits=hnp.arrays(np.bool_, st.tuples(st.integers(1, 40), st.just(len(LAYOUT)))))
def test_any_schedule_survives_its_document(bits: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    wanted = Schedule(LAYOUT, bits)
    document = json.loads(json.dumps(to_document(wanted)))
    assert from_document(document, "here").schedule == wanted


def test_metadata_may_be_left_out(tmp_path: Path) -> None:
    save_schedule(tmp_path / "a.json", schedule())
    assert load_schedule(tmp_path / "a.json").metadata == ScheduleMetadata()


def test_metadata_of_a_later_version_is_kept() -> None:
    document = to_document(schedule(), METADATA)
    document["metadata"]["carbon"] = {"grams": 3}
    file = from_document(document, "here")
    assert to_document(file.schedule, file.metadata) == document


def test_the_view_has_a_text_per_component_and_step_over_the_blocks_that_have_it() -> None:
    document = to_document(schedule())
    assert document["schema"] == "ecad-automl/schedule/1"
    assert document["steps"] == 4
    assert document["bits"] == schedule().to_genome()
    # Step 1 computes proj_mlp for a proj_out two steps on that reads the recompute, so the recompute is shown.
    assert document["view"] == {
        "attn": ["11", "00", "11", "00"],
        "ff": ["1", "1", "0", "0"],
        "proj_mlp": ["1", "1", "0", "0"],
        "proj_out": ["1", "0", "1", "0"],
    }


def test_a_file_edited_by_hand_needs_only_bits_or_view() -> None:
    for removed in ("bits", "view"):
        document = to_document(schedule())
        del document[removed]
        assert from_document(document, "here").schedule == schedule()


def test_lines_of_the_file_are_short_and_slots_are_on_one_line_each(tmp_path: Path) -> None:
    slots = tuple(Slot(f"transformer_blocks.{block}", name) for block in range(28) for name in ("attn1", "attn2", "ff"))
    path = tmp_path / "a.json"
    save_schedule(path, Schedule.all_compute(Layout("PixArtTransformer2DModel", slots), 20), METADATA)
    lines = path.read_text().splitlines()
    assert max(len(line) for line in lines if not line.startswith('  "bits"')) <= 120
    assert sum('"component"' in line for line in lines) == 84
    assert sum(line.strip().strip(",") == '"' + "1" * 28 + '"' for line in lines) == 60


def damaged() -> dict[str, tuple[dict[str, Any] | str, str]]:
    """Documents by name, each with what its error must say."""

    def changed(**fields: object) -> dict[str, Any]:
        return {key: value for key, value in (to_document(schedule(), METADATA) | fields).items() if value != "gone"}

    view = to_document(schedule())["view"]
    flipped = view | {"ff": ["1", "1", "0", "1"]}
    return {
        "no JSON": ('{"schema": ', "line 1"),
        "cut off": (json.dumps(changed())[:-30], "not JSON"),
        "a list": ("[]", "JSON list"),
        "nested deeply": ("[" * 200_000, "damaged"),
        "no schema": (changed(schema="gone"), f"a schedule file has '{SCHEMA}'"),
        "newer": (changed(schema="ecad-automl/schedule/4"), "upgrade ecad-automl"),
        "no skip": (changed(schema="ecad-automl/schedule/2"), "None for 'skip'"),
        "other": (changed(schema=7), "right file"),
        "authors": ({"cache_schedule": {}}, "ecad-automl convert"),
        "steps text": (changed(steps="4"), "'4' for 'steps'"),
        "steps zero": (changed(steps=0), "0 for 'steps'"),
        "steps true": (changed(steps=True), "True for 'steps'"),
        "steps other": (changed(steps=5), "5 steps"),
        "steps huge": (changed(steps=10**15, bits="gone"), "4 rows"),
        "no layout": (changed(layout="gone"), "layout cannot be read"),
        "layout text": (changed(layout="PixArt"), "layout cannot be read"),
        "layout empty": (changed(layout={"transformer": "T", "slots": []}), "no slots"),
        "no bits": (changed(bits="gone", view="gone"), "neither 'bits' nor 'view'"),
        "bits list": (changed(bits=[1, 0]), "hexadecimal digits"),
        "bits no hex": (changed(bits="xyz"), "not hexadecimal"),
        "bits short": (changed(bits="ff"), "hexadecimal digits, but"),
        "view other bits": (changed(view=flipped), "first at step 3 on transformer_blocks.0.ff"),
        "view other component": (changed(view={"attn": view["attn"]}), "needs the components"),
        "view list": (changed(view=[]), "needs the components"),
        "view no rows": (changed(view=view | {"ff": "1101"}), "'ff', but needs one"),
        "view narrow": (changed(view=view | {"attn": ["1", "0", "1", "0"]}), "at step 0, but needs 2 digits"),
        "view letters": (changed(view=view | {"attn": ["11", "0x", "11", "00"]}), "at step 1"),
        "view numbers": (changed(view=view | {"ff": [1, 1, 0, 0]}), "at step 0"),
        "metadata list": (changed(metadata=[]), "'metadata'"),
        "height text": (changed(metadata={"height": "256"}), "'256' for 'metadata.height'"),
        "objective text": (changed(metadata={"objectives": {"r": {"value": "x"}}}), "metadata.objectives.r.value"),
        "objective nan": (changed(metadata={"objectives": {"r": {"value": float("nan")}}}), "finite"),
    }


@pytest.mark.parametrize("case", list(damaged()))
def test_a_damaged_file_is_one_sentence_that_names_it(case: str, tmp_path: Path) -> None:
    content, message = damaged()[case]
    path = tmp_path / "damaged.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(FileError) as raised:
        load_schedule(path)
    text = str(raised.value)
    assert message in text
    assert str(path) in text
    assert "\n" not in text
    assert text.endswith(".")


def test_a_path_that_is_no_text_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"There is no schedule file at .*gone\.json; check the path"):
        load_schedule(tmp_path / "gone.json")
    with pytest.raises(FileError, match="is a folder"):
        load_schedule(tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="not text in UTF-8"):
        load_schedule(tmp_path / "binary.json")
    with pytest.raises(FileError, match="cannot be read"):
        load_schedule(tmp_path / "binary.json" / "below.json")
    with pytest.raises(FileError, match="null"):
        load_schedule("nu\0ll")


def test_saving_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_schedule(path, schedule())
    save_schedule(path, Schedule.all_compute(LAYOUT, 3))
    assert load_schedule(path).schedule == Schedule.all_compute(LAYOUT, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_saving_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    save_schedule(tmp_path / "link.json", schedule())
    assert (tmp_path / "link.json").is_symlink()
    assert load_schedule(tmp_path / "real.json").schedule == schedule()


def test_saving_where_no_file_can_be_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="make its folder first"):
        save_schedule(tmp_path / "none" / "a.json", schedule())
    with pytest.raises(FileError, match="is a folder"):
        save_schedule(tmp_path, schedule())
    with pytest.raises(FileError, match="null character"):
        save_schedule(f"{tmp_path}/nu\0ll.json", schedule())


@pytest.mark.parametrize("extra", [{"pipe": object()}, {"measured": {"pipe": object()}}])
def test_metadata_without_a_json_form_writes_nothing(extra: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(FileError, match="no JSON form"):
        save_schedule(path, schedule(), ScheduleMetadata(**extra))
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


FULL_DISK_FOR_SEVERAL = """
import resource, sys
from ecad_automl.errors import FileError
from ecad_automl.files.json_file import write_texts
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
try:
    write_texts(sys.argv[1], {"in/small.json": "new", "large.md": "x" * 1000}, "files")
except FileError as error:
    print(error)
"""


@pytest.mark.parametrize("below", ["", "new/folder"])
def test_several_files_are_written_or_none(below: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "small.json").write_text("old")
    command = [sys.executable, "-c", FULL_DISK_FOR_SEVERAL, str(tmp_path / below)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "make room on the disk, nothing was written" in done.stdout
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "in" / "small.json"]
    assert (tmp_path / "in" / "small.json").read_text() == "old"
    assert not (tmp_path / "new").exists()
    texts = {"in/small.json": "new", "large.md": "text"}
    assert write_texts(tmp_path / below, texts, "files") == [tmp_path / below / name for name in texts]
    assert {name: (tmp_path / below / name).read_text() for name in texts} == texts


FULL_DISK = """
import resource, sys
from ecad_automl.errors import FileError
from ecad_automl.schedules.schedule_file import load_schedule, save_schedule
path = sys.argv[1]
file = load_schedule(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
try:
    save_schedule(path, file.schedule, file.metadata)
except FileError as error:
    print(error)
"""


def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_schedule(path, schedule(), METADATA)
    before = path.read_bytes()
    assert len(before) > 300
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "cannot be written (File too large); make room on the disk" in done.stdout
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_relevant_scheduler_settings_are_plain_values() -> None:
    config = {
        "num_train_timesteps": 1000,
        "beta_schedule": "linear",
        "use_karras_sigmas": False,
        "shift": 1.15,
        "trained_betas": None,
        "sigmas": np.ones(3),
        "lambda_min_clipped": -float("inf"),
        "_class_name": "DPMSolverMultistepScheduler",
        "_diffusers_version": "0.42.1",
    }
    kept = relevant_scheduler_config(config)
    assert kept == {"num_train_timesteps": 1000, "beta_schedule": "linear", "use_karras_sigmas": False, "shift": 1.15}
    json.dumps(kept, allow_nan=False)


def test_versions_are_those_of_the_installed_packages() -> None:
    assert software_versions()["numpy"] == np.__version__


def test_reading_and_writing_schedules_imports_no_torch() -> None:
    code = (
        "import sys; from ecad_automl.schedules import ecad_format, heuristics, schedule_file; "
        "print(sorted({'torch', 'diffusers', 'transformers', 'optuna'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def forecasts_changed(**fields: object) -> dict[str, Any]:
    document = to_document(forecasting())
    document["forecasts"] = [document["forecasts"][0] | fields, *document["forecasts"][1:]]
    return document


def test_forecasts_are_told_once_for_each_component_and_its_sources() -> None:
    compute = np.zeros((4, len(LAYOUT)), dtype=bool)
    compute[:2] = True
    levels = np.zeros((4, 5), dtype=int)
    levels[2, 0] = 3
    levels[3] = 1
    schedule = Schedule(LAYOUT, compute, [0, 0, 0, 1], levels, np.tile([1.5, -0.25], (4, len(LAYOUT) + 1, 1)))
    document = to_document(schedule)
    assert document["skip"] == "0001"
    assert document["forecasts"] == [
        {"step": 2, "component": "attn", "level": 3, "from": (1, 0), "weights": (1.5, -0.25)},
        {"step": 3, "component": None, "level": 1, "from": (2, 1), "weights": (1.5, -0.25)},
    ]


def test_equal_effects_hash_alike_and_other_forecasts_do_not() -> None:
    schedule = forecasting()
    arguments = (schedule.layout, schedule.effective, schedule.skip)
    hashes = {schedule_sha256(schedule), schedule_sha256(Schedule(*arguments, schedule.damping, schedule.weights))}
    assert len(hashes) == 1
    hashes.add(schedule_sha256(Schedule(*arguments)))
    hashes.add(schedule_sha256(Schedule(schedule.layout, schedule.effective)))
    hashes.add(schedule_sha256(Schedule(*arguments, schedule.damping, schedule.weights * np.float32(1.01))))
    assert len(hashes) == 4


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (to_document(forecasting()) | {"skip": "00010"}, "'00010' for 'skip', but needs 6 digits"),
        (to_document(forecasting()) | {"skip": "100100"}, "of which the first is 0"),
        (to_document(forecasting()) | {"forecasts": {}}, "for 'forecasts', but needs a list"),
        (to_document(forecasting()) | {"forecasts": [3]}, "for 'forecasts.0'"),
        (to_document(forecasting()) | {"forecasts": []}, "for 'sha256', .* with what it skips and forecasts"),
        (forecasts_changed(step=True), "True for 'forecasts.0.step'"),
        (forecasts_changed(step=900), "at step 900 from"),
        (forecasts_changed(component="other"), "forecasts 'other' at step"),
        (forecasts_changed(level=4), "4 for 'forecasts.0.level'"),
        (forecasts_changed(**{"from": [0, 1]}), "but nothing there is used"),
        (forecasts_changed(**{"from": [2**80, 1]}), "'forecasts.0.from.0'"),
        (forecasts_changed(weights=[1.0]), "'forecasts.0.weights.1'"),
        (forecasts_changed(weights=[1e300, 0.0]), "'forecasts.0.weights.0'"),
    ],
)
def test_damaged_forecasts_are_one_sentence(document: dict[str, Any], message: str) -> None:
    with pytest.raises(FileError, match=message) as caught:
        from_document(document, "here")
    assert "\n" not in str(caught.value)


def test_a_forecast_that_is_told_twice_is_refused() -> None:
    document = to_document(forecasting())
    document["forecasts"].append(document["forecasts"][0])
    with pytest.raises(FileError, match="twice"):
        from_document(document, "here")
