from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.machine import RESULTS
from tests.fuzz.documents import STRUCTURED, STRUCTURED_TARGETS
from tests.fuzz.targets import TARGETS, run

#: Bounded, and the same in every run; `make fuzz` looks for longer.
BOUNDED = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

_NUMBERS = st.integers() | st.floats() | st.sampled_from([0, -1, 1, 10**12, 2**63, 1e308])
_SCALARS = (
    st.none()
    | st.booleans()
    | _NUMBERS
    | st.text(max_size=8)
    | st.sampled_from(["0", "ff", "../a", "\x1b[2J", "\ud800"])
)
VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", TARGETS)
def test_sound_inputs_and_old_faults_are_parsed_or_refused(name: str) -> None:
    for data in TARGETS[name].seeds():
        run(TARGETS[name], data)


@pytest.mark.parametrize("name", TARGETS)
@BOUNDED
@given(data=st.data())
def test_any_bytes_are_parsed_or_refused_in_one_sentence(name: str, data: st.DataObject) -> None:
    """Bytes of all kinds, and sound inputs with pieces cut out, doubled and overwritten."""
    sound = data.draw(st.sampled_from(TARGETS[name].seeds()))
    start, stop = sorted(data.draw(st.tuples(st.integers(0, len(sound)), st.integers(0, len(sound)))))
    middle = data.draw(st.sampled_from([b"", sound[start:stop] * 2]) | st.binary(max_size=24))
    run(TARGETS[name], data.draw(st.sampled_from([sound[:start] + middle + sound[stop:], middle])))


@pytest.mark.parametrize(
    "name", ["schedule file", "ECAD file", "schedule index", "prompt split", "ImageReward's config"]
)
@BOUNDED
@given(data=st.data())
def test_any_value_in_any_place_of_a_document_is_parsed_or_refused(name: str, data: st.DataObject) -> None:
    sound = [seed for seed in TARGETS[name].seeds() if seed.strip().startswith(b"{") and seed.strip().endswith(b"}")]
    document = json.loads(data.draw(st.sampled_from(sound)))
    for _ in range(data.draw(st.integers(1, 3))):
        document = replaced(document, data)
    run(TARGETS[name], json.dumps(document).encode())


@pytest.mark.parametrize("name", STRUCTURED)
def test_sound_documents_with_one_thing_changed_are_accepted_or_refused(name: str) -> None:
    """`benchmarks.system.structured_fuzz` tries more of them."""
    target = {**TARGETS, **STRUCTURED_TARGETS}[name]
    for document in STRUCTURED[name].documents()[:9]:
        assert run(target, STRUCTURED[name].write(document))
    count = 4 if name == "row of a study" else 60
    for data in islice(STRUCTURED[name].inputs(0), count):
        run(target, data)


def test_what_was_tried_of_changed_documents_reached_the_inside() -> None:
    tried = json.loads((RESULTS / "structured_fuzz.json").read_text())["targets"]
    assert list(tried) == list(STRUCTURED)
    assert sum(told["inputs"] for told in tried.values()) >= 800_000
    for told in tried.values():
        assert told["inputs"] / 3 <= told["accepted"] < told["inputs"]
        assert told["faults"] == 0


def replaced(value: Any, data: st.DataObject) -> Any:
    """The value with something in it, or all of it, replaced, removed or added."""
    if not isinstance(value, dict | list) or not value or data.draw(st.integers(0, 5)) == 0:
        return data.draw(VALUES)
    if isinstance(value, list):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], replaced(value[at], data), *value[at + 1 :]]
    key = data.draw(st.sampled_from(sorted(value)))
    what = data.draw(st.integers(0, 6))
    if what == 0:
        return {name: item for name, item in value.items() if name != key}
    if what == 1:
        return {**value, data.draw(st.text(max_size=5)): data.draw(VALUES)}
    return {**value, key: replaced(value[key], data)}
