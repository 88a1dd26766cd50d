from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedShuffleSplit

from ecad_automl.errors import PromptError
from ecad_automl.prompts import PromptSet, SplitRecord, check_split, split_prompts

CATEGORIES = (None, "animals", "food", "people", "vehicles")


def a_set(sizes: dict[str | None, int]) -> PromptSet:
    categories = tuple(category for category, size in sizes.items() for _ in range(size))
    return PromptSet("mine", tuple(f"prompt {n}" for n in range(len(categories))), categories, "mine.csv")


def counts(prompts: PromptSet) -> Counter[str | None]:
    return Counter(prompts.categories)


@st.composite
def cases(draw: st.DrawFn) -> tuple[PromptSet, int, int, int]:
    """A set, two numbers of prompts that it has, and a seed."""
    sizes = draw(st.dictionaries(st.sampled_from(CATEGORIES), st.integers(1, 40), min_size=1))
    prompts = a_set(sizes)
    assume(len(prompts) >= 2)
    calibration = draw(st.integers(1, len(prompts) - 1))
    return prompts, calibration, draw(st.integers(1, len(prompts) - calibration)), draw(st.integers(0, 2**32))


@given(cases())
def test_a_split_is_disjoint_and_of_the_sizes_asked_for(case: tuple[PromptSet, int, int, int]) -> None:
    prompts, calibration, held_out, seed = case
    split = split_prompts(prompts, calibration, held_out=held_out, seed=seed)
    assert len(split.calibration) == calibration
    assert len(split.held_out) == held_out
    assert not set(split.calibration.prompts) & set(split.held_out.prompts)
    known = dict(zip(prompts.prompts, prompts.categories, strict=True))
    for part in (split.calibration, split.held_out):
        assert all(known[p] == c for p, c in zip(part.prompts, part.categories, strict=True))
    everything = split_prompts(prompts, calibration, seed=seed)
    assert {*everything.calibration.prompts, *everything.held_out.prompts} == set(prompts.prompts)


@given(cases())
def test_each_category_is_within_one_of_its_exact_share(case: tuple[PromptSet, int, int, int]) -> None:
    prompts, calibration, held_out, seed = case
    split = split_prompts(prompts, calibration, held_out=held_out, seed=seed)
    there = counts(prompts)
    for drawn in (split.calibration, split.held_out):
        for category, size in there.items():
            exact = Fraction(len(drawn) * size, there.total())
            assert abs(counts(drawn)[category] - exact) < 1
        there -= counts(drawn)


def test_numbers_per_category_are_those_of_another_library() -> None:
    sizes: dict[str | None, int] = {"a": 37, "b": 22, "c": 11, "d": 5}
    prompts, total = a_set(sizes), sum(sizes.values())
    compared = 0
    for calibration in range(len(sizes), total - len(sizes)):
        remainders = [calibration * size % total for size in sizes.values()]
        if len(set(remainders)) < len(remainders):
            continue  # where remainders are equal, either may round up
        oracle = StratifiedShuffleSplit(n_splits=1, train_size=calibration, random_state=0)
        chosen, _ = next(oracle.split(np.zeros(total), list(prompts.categories)))
        drawn = split_prompts(prompts, calibration).calibration
        assert counts(drawn) == Counter(prompts.categories[number] for number in chosen)
        compared += 1
    assert compared > 30


@given(cases(), st.randoms(use_true_random=False))
def test_a_split_depends_on_prompts_and_seed_but_not_on_their_order(
    case: tuple[PromptSet, int, int, int], random: object
) -> None:
    prompts, calibration, held_out, seed = case
    numbers = list(range(len(prompts)))
    random.shuffle(numbers)  # type: ignore[attr-defined]
    shuffled = prompts.pick(numbers, "shuffled")
    first = split_prompts(prompts, calibration, held_out=held_out, seed=seed)
    again = split_prompts(shuffled, calibration, held_out=held_out, seed=seed)
    assert again.calibration.prompts == first.calibration.prompts
    assert again.held_out.prompts == first.held_out.prompts
    check_split(again, first.record)


def test_prompts_for_calibration_do_not_depend_on_how_many_are_held_out() -> None:
    prompts = a_set({"a": 20, "b": 13, None: 7})
    drawn = {split_prompts(prompts, 10, held_out=held_out).calibration.digest for held_out in (None, 1, 10, 30)}
    assert len(drawn) == 1


def test_another_seed_draws_other_prompts_evenly() -> None:
    prompts = a_set({"a": 30, "b": 10})
    drawn = Counter(
        prompt for seed in range(400) for prompt in split_prompts(prompts, 20, seed=seed).calibration.prompts
    )
    # Each prompt is drawn by half of the seeds; 5 standard deviations of a binomial are 50.
    assert len(drawn) == 40
    assert all(abs(times - 200) < 50 for times in drawn.values())


def test_prompts_are_drawn_by_the_documented_hash() -> None:
    prompts = a_set({"a": 30})
    ranked = sorted(prompts.prompts, key=lambda prompt: hashlib.sha256(b"7\0" + prompt.encode()).digest())
    split = split_prompts(prompts, 10, held_out=5, seed=7)
    assert list(split.calibration.prompts) == ranked[:10]
    assert list(split.held_out.prompts) == ranked[10:15]


def test_shares_are_rounded_to_the_nearest_number() -> None:
    prompts = a_set({"a": 7, "b": 4})
    assert len(split_prompts(prompts, 0.5).calibration) == 6
    assert len(split_prompts(prompts, 0.01).calibration) == 1
    halves = split_prompts(prompts, 0.5, held_out=0.5)
    assert (len(halves.calibration), len(halves.held_out)) == (6, 5)


@pytest.mark.parametrize(
    ("calibration", "held_out", "message"),
    [
        (0, None, "0 prompts for calibration"),
        (-1, None, "-1 prompts for calibration"),
        (10, None, "has 10 prompts, too few for 10 for calibration and 1 held out"),
        (8, 3, "too few for 8 for calibration and 3 held out"),
        (0.9, 0.3, "too few for 9 for calibration and 3 held out"),
        (0.0, None, "A share of 0.0"),
        (1.0, None, "A share of 1.0"),
        (float("nan"), None, "A share of nan"),
        (True, None, "True prompts for calibration"),
        ("5", None, "'5' prompts for calibration"),
        (5, 0, "0 prompts for holding out"),
    ],
)
def test_numbers_that_cannot_be_drawn_are_refused(calibration: float, held_out: float | None, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        split_prompts(a_set({"a": 10}), calibration, held_out=held_out)


def test_a_record_survives_json() -> None:
    split = split_prompts(a_set({"a": 9, None: 4}), 5, held_out=3, seed=11)
    record = SplitRecord.from_dict(json.loads(json.dumps(split.record.model_dump())))
    assert record == split.record
    check_split(split, record)


def test_a_moved_file_is_the_same_prompts() -> None:
    prompts = a_set({"a": 9})
    record = split_prompts(prompts, 5).record
    check_split(split_prompts(replace(prompts, name="other", source="moved.csv"), 5), record)


def test_other_prompts_are_refused_with_what_differs() -> None:
    prompts = a_set({"a": 9, "b": 5})
    record = split_prompts(prompts, 5, held_out=4).record
    with pytest.raises(PromptError, match=r"calibration are 6 \(\w{12}\), recorded 5 \(\w{12}\)") as sizes:
        check_split(split_prompts(prompts, 6, held_out=4), record)
    assert "seed" not in str(sizes.value).split(". ")[0]
    with pytest.raises(PromptError, match="held out are 3 .*recorded 4") as held_out:
        check_split(split_prompts(prompts, 5, held_out=3), record)
    assert "calibration" not in str(held_out.value)
    with pytest.raises(PromptError, match="the seed is 1, recorded 0"):
        check_split(split_prompts(prompts, 5, held_out=4, seed=1), record)
    changed = replace(prompts, prompts=(*prompts.prompts[:-1], "another"), source="new.csv")
    with pytest.raises(PromptError, match="the whole set is 'mine' from new.csv, 14 .*recorded 'mine' from mine.csv"):
        check_split(split_prompts(changed, 9, held_out=5), record)


@pytest.mark.parametrize(
    ("path", "value"),
    [(("seed",), "0"), (("name",), None), (("held_out",), 5), (("whole", "size"), True), (("whole", "digest"), 1)],
)
def test_a_damaged_record_is_refused_with_the_field(path: tuple[str, ...], value: object) -> None:
    data = split_prompts(a_set({"a": 9}), 5).record.model_dump()
    inner: dict[str, object] = data
    for key in path[:-1]:
        inner = inner[key]  # type: ignore[assignment]
    inner[path[-1]] = value
    with pytest.raises(PromptError, match=f"as '{'.'.join(path)}' .*; it is damaged"):
        SplitRecord.from_dict(data)
    with pytest.raises(PromptError, match="'seed'"):
        SplitRecord.from_dict({**data, "name": "mine", "seed": None})
