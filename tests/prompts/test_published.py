"""Small files in the form in which the sets are published."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from ecad_automl.errors import PromptError
from ecad_automl.prompts import published_names, read_prompt_set

DRAWBENCH = """Prompts,Category
A red colored car.,Colors
A black colored car.,Colors
"A pear cut into seven pieces arranged in a ring.",Counting
"A sign that says ""Diffusion"", in blue.",Text
A red colored car.,Conflicting
"""

# The quotes of PartiPrompts are no marks of a cell, not even at its beginning.
PARTI = (
    "Prompt\tCategory\tChallenge\tNote\n"
    "bond\tAbstract\tBasic\tBiology-inspired concepts with multiple meanings\n"
    '"G I G G L E" painted in thick lettering\tIllustrations\tWriting & Symbols\t\n'
    'a dog saying "I see what you did there"\tAnimals\tWriting & Symbols\t\n'
    "a two lane road with a bright yellow line \tOutdoor Scenes\tSimple Detail\t\n"
    'four chairs\tArtifacts\tQuantity\tDescription of "Chairs"\n'
)

MJHQ = {
    "2b4c8e3c7a1d": {"category": "animals", "prompt": "a fox in the snow"},
    "0a1b9d8e7f6a": {"category": "food", "prompt": "a bowl of ramen, macro photo"},
    "93ff11d05c2e": {"category": "animals", "prompt": "a fox in the snow"},
}

BENCHMARK = [
    {"id": "005695-0057", "prompt": "a concept art of a vehicle, cyberpunk"},
    {"id": "005937-0170", "prompt": "a cute cat"},
]

TEST_JSON = [
    {"id": "005937-0170", "prompt": "a cute cat", "generations": ["part-005937/a.webp", "b.webp"], "ranking": [2, 1]},
    {"id": "005822-0070", "prompt": "Medieval Warrior Portrait", "generations": ["c.webp"], "ranking": [1]},
]

COCO = {
    "info": {"year": 2014},
    "images": [{"id": 42, "file_name": "42.jpg"}, {"id": 7, "file_name": "7.jpg"}, {"id": 99, "file_name": "99.jpg"}],
    "licenses": [],
    "annotations": [
        {"image_id": 42, "id": 900, "caption": "Another caption of image 42."},
        {"image_id": 42, "id": 300, "caption": "A man rides a wave.\n"},
        {"image_id": 7, "id": 501, "caption": "Two dogs on a sofa. "},
        {"image_id": 7, "id": 502, "caption": "Dogs."},
        {"image_id": 99, "id": 12, "caption": "A man rides a wave."},
    ],
}


def metadata(path: Path) -> Path:
    """Of ImageRewardDB: a row per image."""
    rows = {
        "image_path": [f"images/train/{n}.webp" for n in range(5)],
        "prompt_id": ["000904-0035", "000904-0035", "000113-0012", "000904-0035", "000555-0001"],
        "prompt": ["a house", "a house", "a boat", "a house", "a boat"],
        "classification": ["Outdoor Scenes", "Outdoor Scenes", "Vehicles", "Outdoor Scenes", "Vehicles"],
        "image_amount_in_total": pa.array([3, 3, 1, 3, 1], pa.int8()),
        "rank": pa.array([1, 2, 1, 3, 1], pa.int8()),
    }
    parquet.write_table(pa.table(rows), path)
    return path


def saved(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def published(tmp_path: Path) -> dict[str, Path]:
    """A file of each form, under a name that tells nothing."""
    return {
        "imagerewarddb": metadata(tmp_path / "a.parquet"),
        "imagerewarddb-benchmark": saved(tmp_path / "b.json", BENCHMARK),
        "imagerewarddb-test": saved(tmp_path / "c.json", TEST_JSON),
        "drawbench": saved(tmp_path / "d.csv", DRAWBENCH),
        "parti": saved(tmp_path / "e.tsv", PARTI),
        "coco": saved(tmp_path / "f.json", COCO),
        "mjhq": saved(tmp_path / "g.json", MJHQ),
    }


def test_every_form_is_recognized_and_read_as_if_it_were_named(published: dict[str, Path]) -> None:
    assert {name.split("-")[0] for name in published} == set(published_names())
    for key, path in published.items():
        name = key.split("-")[0]
        named, recognized = read_prompt_set(f"{name}={path}"), read_prompt_set(str(path))
        assert named == recognized
        assert named.name == name
        assert named.source == str(path)


def test_imagerewarddb_has_one_prompt_per_id_with_its_classification(published: dict[str, Path]) -> None:
    prompts = read_prompt_set(f"imagerewarddb={published['imagerewarddb']}")
    assert prompts.prompts == ("a house", "a boat")
    assert prompts.categories == ("Outdoor Scenes", "Vehicles")
    # Images share a prompt by design; two ids with the same text do not.
    assert prompts.notes == ("1 of 3 prompts were left out, since they occur before.",)


def test_prompts_of_the_image_reward_repository_keep_their_order(published: dict[str, Path]) -> None:
    benchmark = read_prompt_set(f"imagerewarddb={published['imagerewarddb-benchmark']}")
    assert benchmark.prompts == ("a concept art of a vehicle, cyberpunk", "a cute cat")
    ranked = read_prompt_set(f"imagerewarddb={published['imagerewarddb-test']}")
    assert ranked.prompts == ("a cute cat", "Medieval Warrior Portrait")
    assert ranked.categories == (None, None)


def test_drawbench_has_its_categories_and_each_prompt_once(published: dict[str, Path]) -> None:
    prompts = read_prompt_set(f"drawbench={published['drawbench']}")
    assert prompts.prompts[2:] == (
        "A pear cut into seven pieces arranged in a ring.",
        'A sign that says "Diffusion", in blue.',
    )
    assert prompts.categories == ("Colors", "Colors", "Counting", "Text")
    assert len(prompts.notes) == 1


def test_partiprompts_keep_their_quotes(published: dict[str, Path]) -> None:
    prompts = read_prompt_set(f"parti={published['parti']}")
    assert prompts.prompts == (
        "bond",
        '"G I G G L E" painted in thick lettering',
        'a dog saying "I see what you did there"',
        "a two lane road with a bright yellow line",
        "four chairs",
    )
    assert prompts.categories == ("Abstract", "Illustrations", "Animals", "Outdoor Scenes", "Artifacts")


def test_coco_has_the_first_caption_of_each_image_by_image(published: dict[str, Path]) -> None:
    prompts = read_prompt_set(f"coco={published['coco']}")
    assert prompts.prompts == ("Two dogs on a sofa.", "A man rides a wave.")
    assert prompts.categories == (None, None)
    assert prompts.notes == ("1 of 3 prompts were left out, since they occur before.",)


def test_mjhq_has_its_categories(published: dict[str, Path]) -> None:
    prompts = read_prompt_set(f"mjhq={published['mjhq']}")
    assert prompts.prompts == ("a fox in the snow", "a bowl of ramen, macro photo")
    assert prompts.categories == ("animals", "food")


def test_a_file_that_only_resembles_a_set_goes_by_its_own_name(tmp_path: Path) -> None:
    own = saved(tmp_path / "own.json", {"1": {"category": "knights", "prompt": "a knight"}})
    assert read_prompt_set(str(own)).name == "own"
    assert read_prompt_set(f"mjhq={own}").name == "mjhq"
    listed = saved(tmp_path / "listed.json", [{"id": "1", "prompt": "a knight"}])
    assert read_prompt_set(str(listed)).name == "listed"
    table = tmp_path / "table.tsv"
    with table.open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([["Prompt", "Category"], ['"quoted" and\tmore', "x"]])
    assert read_prompt_set(str(table)).prompts == ('"quoted" and\tmore',)


def test_a_named_column_overrules_the_form(published: dict[str, Path]) -> None:
    prompts = read_prompt_set(str(published["parti"]), column="Challenge")
    assert prompts.name == "e"
    assert prompts.prompts == ("Basic", "Writing & Symbols", "Simple Detail", "Quantity")
    with pytest.raises(PromptError, match="columns of the set 'parti' are known"):
        read_prompt_set(f"parti={published['parti']}", column="Challenge")


def test_a_set_in_another_form_is_refused_with_the_published_one(published: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"'parti' is published as .tsv \(.*unquoted\), but a .csv file was given"):
        read_prompt_set(f"parti={published['drawbench']}")
    with pytest.raises(PromptError, match="g.json is not 'coco' as it is published; an object with images"):
        read_prompt_set(f"coco={published['mjhq']}")
    with pytest.raises(PromptError, match=r"published as .parquet .* or as .json"):
        read_prompt_set(f"imagerewarddb={published['parti']}")
    with pytest.raises(PromptError, match="'laion' is unknown; choose one of coco, drawbench"):
        read_prompt_set(f"laion={published['mjhq']}")
    with pytest.raises(PromptError, match="There is no prompt file .*none.tsv"):
        read_prompt_set(f"parti={tmp_path / 'none.tsv'}")


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"image_id": 5, "id": 1, "caption": "x"}, "Annotation 6 of .*c.json is of image 5, which the file does not"),
        ({"image_id": "7", "id": 1, "caption": "x"}, "Annotation 6 of .* has '7' as 'image_id', but an integer"),
        ({"image_id": 7, "caption": "x"}, "has None as 'id'"),
        ({"image_id": 7, "id": 1}, "Prompt 1 of 3 in .*c.json is None"),
        ("x", "has None as 'image_id'"),
    ],
)
def test_damaged_captions_are_one_clear_sentence(tmp_path: Path, annotation: object, message: str) -> None:
    path = saved(tmp_path / "c.json", {**COCO, "annotations": [*COCO["annotations"], annotation]})
    with pytest.raises(PromptError, match=message):
        read_prompt_set(f"coco={path}")
