from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.layout import Layout, Slot, place_of


def layout(blocks: int = 2) -> Layout:
    slots: list[Slot] = []
    for block in range(blocks):
        slots += [
            Slot(f"single.{block}", "proj_mlp", reader="proj_out", macs=3),
            Slot(f"single.{block}", "proj_out", macs=4),
        ]
    slots += [Slot("double.0", "attn", macs=5), Slot("double.0", "ff", macs=6)]
    return Layout("FluxTransformer2DModel", tuple(slots), constant_macs=10, sample={"tokens": 64})


def test_indices_follow_the_order_of_the_slots() -> None:
    mine = layout()
    assert mine.blocks == ("single.0", "single.1", "double.0")
    assert mine.components == ("proj_mlp", "proj_out", "attn", "ff")
    assert mine.block_index.tolist() == [0, 0, 1, 1, 2, 2]
    assert mine.component_index.tolist() == [0, 1, 0, 1, 2, 3]
    assert mine.reader_index.tolist() == [1, -1, 3, -1, -1, -1]
    assert mine.slot_macs.tolist() == [3, 4, 3, 4, 5, 6]
    assert mine.step_macs == 10 + 25
    assert len(mine) == 6
    assert mine.slots[0].name == "single.0.proj_mlp"


def test_the_dictionary_form_survives_json() -> None:
    mine = layout()
    again = Layout.from_dict(json.loads(json.dumps(mine.to_dict())))
    assert again == mine
    assert again.to_dict() == mine.to_dict()


def test_layouts_that_differ_only_in_macs_are_equal_and_hash_alike() -> None:
    mine = layout()
    other = Layout(mine.transformer, tuple(replace(slot, macs=slot.macs * 7) for slot in mine.slots))
    assert other == mine
    assert hash(other) == hash(mine)
    assert mine.difference(other) is None


def test_pickles_and_copies_are_equal() -> None:
    mine = layout()
    assert mine.reader_index.size  # also after an index was made
    for again in (pickle.loads(pickle.dumps(mine)), copy.deepcopy(mine)):
        assert again.to_dict() == mine.to_dict()


def test_a_layout_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        layout().transformer = "Other"  # type: ignore[misc]


def test_the_first_difference_is_named() -> None:
    mine = layout()
    slots = mine.slots
    cases = {
        "it is for SanaTransformer2DModel, not FluxTransformer2DModel": replace(
            mine, transformer="SanaTransformer2DModel"
        ),
        "it is for 4 blocks, not 3": layout(3),
        "it has 5 slots, not 6": replace(mine, slots=slots[:-1]),
        "it has the slot 'double.0.attn' where 'single.0.proj_mlp' is expected": replace(
            mine, slots=slots[4:] + slots[:4]
        ),
    }
    assert {mine.difference(other): other for other in cases.values()} == cases
    assert mine.difference(layout()) is None


def test_a_difference_of_readers_is_a_difference() -> None:
    mine = layout()
    other = replace(mine, slots=(replace(mine.slots[0], reader=None), *mine.slots[1:]))
    assert mine.difference(other) is not None
    assert other != mine


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        ((), "no slots"),
        ((Slot("b", "ff"), Slot("b", "ff")), "'b.ff' twice"),
        ((Slot("b", "attn", reader="ff"),), "'ff' as its reader, which is no slot"),
        ((Slot("b", "attn", reader="attn"),), "later slot"),
        ((Slot("b", "out"), Slot("b", "attn", reader="out")), "later slot"),
        ((Slot("b", "a", reader="c"), Slot("b", "c", reader="d"), Slot("b", "d")), "residual stream"),
        ((Slot("b", "a", macs=-1),), "negative"),
        ((Slot("b", "a", macs=2**63),), "63 bits"),
    ],
)
def test_an_impossible_layout_is_refused(slots: tuple[Slot, ...], message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        Layout("T", slots)


@pytest.mark.parametrize(
    ("block", "place"),
    [
        ("transformer_blocks.3", ("transformer_blocks", "3")),
        ("levels.0.blocks.12", ("levels.0.blocks", "12")),
        ("double_stream_blocks.2.block", ("double_stream_blocks.block", "2")),
        ("b", ("b", "")),
    ],
)
def test_a_block_has_a_number_in_its_list(block: str, place: tuple[str, str]) -> None:
    assert place_of(block) == place


def good() -> dict[str, Any]:
    return {"transformer": "T", "slots": [{"block": "b", "component": "ff"}]}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"slots": good()["slots"]},
        {"transformer": "T"},
        good() | {"slots": 5},
        good() | {"slots": ["b.ff"]},
        good() | {"slots": [{"block": "b"}]},
        good() | {"slots": []},
        good() | {"slots": [{"block": "b", "component": "ff", "macs": None}]},
        good() | {"constant_macs": "many"},
        good() | {"constant_macs": float("inf")},
        good() | {"constant_macs": float("nan")},
        good() | {"sample": [1]},
        good() | {"sample": {"tokens": "many"}},
        [],
        None,
    ],
    ids=str,
)
def test_a_damaged_description_is_a_schedule_error(data: object) -> None:
    with pytest.raises(ScheduleError, match="layout"):
        Layout.from_dict(data)  # type: ignore[arg-type]


def test_fields_left_out_of_a_description_have_defaults() -> None:
    assert Layout.from_dict(good()).to_dict() == {
        "transformer": "T",
        "sample": {},
        "constant_macs": 0,
        "text_macs": 0,
        "slots": [{"block": "b", "component": "ff", "reader": None, "macs": 0, "text_macs": 0, "elements": 0}],
    }


def test_more_macs_for_the_text_than_in_all_are_refused() -> None:
    with pytest.raises(ScheduleError, match="more MACs for the text than in all"):
        Layout("T", (Slot("b", "ff", macs=3, text_macs=4),))
    with pytest.raises(ScheduleError, match="more MACs for the text than in all"):
        Layout("T", (Slot("b", "ff"),), constant_macs=1, text_macs=2)
