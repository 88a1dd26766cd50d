from __future__ import annotations

import hashlib
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ecad_automl.prompts
from ecad_automl.errors import PromptError
from ecad_automl.prompts import PromptSet
from ecad_automl.prompts.checking import check_prompts
from ecad_automl.prompts.prompt_set import collect


def a_set(*prompts: str, name: str = "mine", source: str = "mine.txt") -> PromptSet:
    return PromptSet(name, prompts, (None,) * len(prompts), source)


def test_the_digest_is_of_the_prompts_in_their_order_alone() -> None:
    prompts = a_set("a cat", "a dog")
    assert prompts.digest == hashlib.sha256(b"a cat\0a dog").hexdigest()
    assert prompts.digest == PromptSet("other", prompts.prompts, ("x", "y"), "elsewhere").digest
    assert prompts.digest != a_set("a dog", "a cat").digest


def visible(text: str) -> bool:
    return any(not c.isspace() and unicodedata.category(c) not in ("Cc", "Cs") for c in text)


lists = st.lists(st.text().filter(visible), min_size=1)


@given(lists, lists)
def test_digests_are_equal_just_where_the_prompts_are(some: list[str], others: list[str]) -> None:
    first, second = (collect("x", "x", [(text, None) for text in texts]) for texts in (some, others))
    assert (first.digest == second.digest) == (first.prompts == second.prompts)


@given(lists)
def test_what_a_reader_collects_is_what_an_evaluation_takes(texts: list[str]) -> None:
    prompts = collect("x", "x", [(text, None) for text in texts])
    assert check_prompts(prompts.prompts) == list(prompts.prompts)
    again = collect("x", "x", list(zip(prompts.prompts, prompts.categories, strict=True)))
    assert again == PromptSet("x", prompts.prompts, prompts.categories, "x")


def test_later_duplicates_are_left_out_and_counted() -> None:
    prompts = collect("x", "x.csv", [("a cat", "cats"), (" a dog", None), ("a cat ", "other"), ("a dog", "dogs")])
    assert prompts.prompts == ("a cat", "a dog")
    assert prompts.categories == ("cats", None)
    assert prompts.notes == ("2 of 4 prompts were left out, since they occur before.",)


def test_control_characters_are_removed_and_counted_but_whitespace_stays() -> None:
    prompts = collect("x", "x.json", [("a\0 c\x1bat", None), ("two\nlines\tof text", None), ("\ud800half", None)])
    assert prompts.prompts == ("a cat", "two\nlines\tof text", "half")
    assert prompts.notes == ("Control characters were removed from 2 of 3 prompts.",)


def test_joined_emoji_and_other_scripts_stay_as_they_are() -> None:
    texts = ["👩‍🚀 on the moon", "हिन्दी", "مرحبا\u200c", "café"]
    assert collect("x", "x", [(text, None) for text in texts]).prompts == tuple(texts)


def test_categories_are_texts_or_unknown() -> None:
    prompts = collect("x", "x", [("a", 3), ("b", ""), ("c", None), ("d", " Colors "), ("e", ["x"]), ("f", True)])
    assert prompts.categories == ("3", None, None, "Colors", None, None)
    assert prompts.notes == ("The categories of 2 of 6 prompts are no texts and were left out.",)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "x.csv holds no prompt"),
        ([("a", None), ("  ", None)], "Prompt 2 of 2 in x.csv is empty"),
        ([("\x00", None)], "Prompt 1 of 1 in x.csv is empty"),
        ([("a", None), (None, None)], "Prompt 2 of 2 in x.csv is None, which is no text"),
        ([(7, None)], "is 7, which is no text"),
    ],
)
def test_what_is_no_prompt_is_refused_with_its_place(entries: list[tuple[object, object]], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        collect("x", "x.csv", entries)


@pytest.mark.parametrize(
    ("prompts", "categories", "message"),
    [
        ((), (), "'x' holds no prompt"),
        (("a",), (), "0 categories for 1 prompts"),
        (("a", "a"), (None, None), "Prompt 2 of the set 'x' is 'a', which occurs before"),
        ((" a",), (None,), "strip it"),
        (("a\0b",), (None,), r"'a\\x00b'; strip it and remove its control characters"),
        (("",), (None,), "is empty"),
        (("a",), ("",), "A category of the prompt set 'x' is ''"),
    ],
)
def test_a_prompt_set_of_another_form_is_refused(
    prompts: tuple[str, ...], categories: tuple[str | None, ...], message: str
) -> None:
    with pytest.raises(PromptError, match=message):
        PromptSet("x", prompts, categories, "x")


def test_the_first_prompts_are_a_set_that_says_so() -> None:
    prompts = a_set("a", "b", "c")
    assert prompts.first(2).prompts == ("a", "b")
    assert prompts.first(2).notes == ("Only the first 2 of 3 prompts are used.",)
    assert prompts.first(3) == prompts == prompts.first(99)
    with pytest.raises(PromptError, match="The first 0 prompts"):
        prompts.first(0)


def test_the_package_is_imported_without_heavy_libraries() -> None:
    heavy = ["torch", "datasets", "pyarrow", "pandas", "transformers", "diffusers", "huggingface_hub"]
    code = f"import sys, ecad_automl.prompts; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_exported_names_are_those_of_the_package() -> None:
    assert all(hasattr(ecad_automl.prompts, name) for name in ecad_automl.prompts.__all__)
    assert sorted(ecad_automl.prompts.__all__) == ecad_automl.prompts.__all__
