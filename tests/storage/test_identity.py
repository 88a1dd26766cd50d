from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from storage.identity import differences

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), JSON))
def test_an_identity_does_not_differ_from_itself(identity: dict[str, object]) -> None:
    assert differences(identity, json.loads(json.dumps(identity))) == []


def test_both_values_of_each_field_are_named() -> None:
    stored = {"seed": 0, "model": "a", "old": 1, "same": [1, 2]}
    given_now = {"seed": 1, "model": "a", "new": {"x": None}, "same": [1, 2]}
    assert differences(stored, given_now) == [
        "seed (0 in the study, 1 now)",
        "old (1 in the study, left out now)",
        "new.x (not in the study, None now)",
    ]


def test_a_nested_field_is_named_by_its_path() -> None:
    def identity(macs: int) -> dict[str, object]:
        return {"layout": {"transformer": "T", "slots": [{"block": "b", "macs": 1}, {"block": "c", "macs": macs}]}}

    assert differences(identity(5), identity(6)) == ["layout.slots.1.macs (5 in the study, 6 now)"]


def test_of_lists_the_lengths_or_the_first_difference_are_named() -> None:
    assert differences({"prompts": ["a"] * 100}, {"prompts": ["a"] * 99}) == [
        "prompts (100 entries in the study, 99 now)"
    ]
    assert differences({"prompts": ["a", "b", "c"]}, {"prompts": ["a", "x", "y"]}) == [
        "prompts.1 ('b' in the study, 'x' now)"
    ]


def test_long_values_are_cut() -> None:
    (phrase,) = differences({"prompt": "a" * 1000}, {"prompt": "b"})
    assert phrase.startswith("prompt ('aaa")
    assert "... in the study, 'b' now" in phrase
    assert len(phrase) < 140


def test_counts_that_earlier_versions_did_not_store_are_no_difference() -> None:
    slot = {"block": "blocks.0", "component": "ff", "macs": 3}
    stored = {"layout": {"constant_macs": 1, "slots": [slot]}}
    given = {"layout": {"constant_macs": 1, "text_macs": 0, "slots": [{**slot, "text_macs": 0, "elements": 7}]}}
    assert differences(stored, given) == []
    assert differences(given, stored) != []
    assert differences(stored, {"layout": {**given["layout"], "constant_macs": 2}}) != []
