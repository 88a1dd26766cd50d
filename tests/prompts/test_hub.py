"""Folders that are data sets, and what the hub's cache holds; the hub itself is out of reach of the tests."""

from __future__ import annotations

import sys
from pathlib import Path

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetInfo, Features, Value
from huggingface_hub import constants

from ecad_automl.errors import HubError, PromptError
from ecad_automl.prompts import read_prompt_set
from ecad_automl.prompts.hub import HubId, parse_hub_id
from tests.prompts.test_published import MJHQ, PARTI, metadata, saved

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the hub's cache, empty at first."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    return cache


def cached(cache: Path, repo: str, revision: str = "main") -> Path:
    """The folder in which the cache keeps the files of a data set."""
    folder = cache / f"datasets--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / revision).write_text(COMMIT)
    files = folder / "snapshots" / COMMIT
    files.mkdir(parents=True)
    return files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits, as ``push_to_hub`` lays them out."""
    features = Features({"Prompts": Value("string"), "Category": ClassLabel(names=["cats", "dogs"])})
    data = tmp_path / "animals" / "data"
    data.mkdir(parents=True)
    for split, rows in {"train": {"Prompts": ["a cat", "a dog"], "Category": [0, 1]}, "test": None}.items():
        made = Dataset.from_dict(rows or {"Prompts": ["two cats"], "Category": [0]}, features)
        made.to_parquet(data / f"{split}-00000-of-00001.parquet")
    return data.parent


def test_a_folder_of_parquet_files_is_a_data_set(folder: Path) -> None:
    prompts = read_prompt_set(str(folder), split="train")
    assert prompts.prompts == ("a cat", "a dog")
    assert prompts.categories == ("cats", "dogs")
    assert (prompts.name, prompts.source) == ("animals", str(folder))
    assert read_prompt_set(str(folder), split="test").prompts == ("two cats",)


def test_one_of_several_splits_must_be_named(folder: Path) -> None:
    with pytest.raises(PromptError, match="needs a split; name one of train, test"):
        read_prompt_set(str(folder))
    with pytest.raises(PromptError, match="has no split 'dev'; name one of train, test"):
        read_prompt_set(str(folder), split="dev")
    (folder / "data" / "test-00000-of-00001.parquet").unlink()
    assert read_prompt_set(str(folder)).prompts == ("a cat", "a dog")


def test_columns_of_a_data_set_are_listed_where_one_is_missing(folder: Path) -> None:
    with pytest.raises(PromptError, match="The data set .* has no column 'caption'; its columns are Prompts, Category"):
        read_prompt_set(str(folder), split="train", column="caption")


def test_a_folder_that_is_no_data_set_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(HubError, match="The data set .*empty could not be loaded") as caught:
        read_prompt_set(str(tmp_path / "empty"))
    assert "\n" not in str(caught.value)


def test_a_data_set_out_of_reach_is_one_clear_sentence() -> None:
    with pytest.raises(HubError, match="The data set 'nobody/nothing' could not be loaded .*download its file"):
        read_prompt_set("nobody/nothing")
    with pytest.raises(HubError, match="PartiPrompts.tsv of 'nateraw/parti-prompts' .* cannot be had from the hub"):
        read_prompt_set("parti")
    with pytest.raises(HubError, match="'sayakpaul/drawbench' could not be loaded"):
        read_prompt_set("drawbench")
    with pytest.raises(PromptError, match="'coco' is not on the hub; download its file and give coco=FILE"):
        read_prompt_set("coco")


def test_the_missing_library_is_named_with_its_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(PromptError, match=r"needs the package datasets; .*ecad-automl\[datasets\]"):
        read_prompt_set(str(folder))


def test_published_sets_are_read_from_the_cache_with_their_commit(offline: Path) -> None:
    saved(cached(offline, "nateraw/parti-prompts") / "PartiPrompts.tsv", PARTI)
    parti = read_prompt_set("parti")
    assert parti.prompts[1] == '"G I G G L E" painted in thick lettering'
    assert (parti.name, parti.source) == ("parti", f"nateraw/parti-prompts@{COMMIT}")
    assert read_prompt_set("nateraw/parti-prompts") == parti
    saved(cached(offline, "playgroundai/MJHQ-30K") / "meta_data.json", MJHQ)
    assert read_prompt_set("mjhq").categories == ("animals", "food")
    with pytest.raises(PromptError, match="'mjhq' has no split 'test'; it has none"):
        read_prompt_set("mjhq", split="test")
    with pytest.raises(PromptError, match="columns of the set 'mjhq' are known"):
        read_prompt_set("mjhq", column="prompt")


def test_imagerewarddb_is_read_by_split_and_revision(offline: Path) -> None:
    files = cached(offline, "zai-org/ImageRewardDB", "v1")
    metadata(files / "metadata-test.parquet")
    metadata(files / "metadata-train.parquet")
    prompts = read_prompt_set("imagerewarddb@v1")
    assert (prompts.name, prompts.source) == ("imagerewarddb-test", f"zai-org/ImageRewardDB@{COMMIT}")
    assert read_prompt_set("imagerewarddb@v1", split="train").name == "imagerewarddb-train"
    with pytest.raises(PromptError, match="no split 'dev'; name one of train, validation, test"):
        read_prompt_set("imagerewarddb@v1", split="dev")
    with pytest.raises(HubError, match="cannot be had from the hub"):
        read_prompt_set("imagerewarddb")


def test_the_commit_of_a_data_set_is_that_of_its_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def load(repo: str, name: str | None, revision: str | None) -> dict[str, Dataset]:
        asked.append((repo, name, revision))
        url = f"hf://datasets/{repo}@{COMMIT}/data.parquet"
        info = DatasetInfo(download_checksums={url: {"num_bytes": 1, "checksum": None}})
        made = Dataset.from_dict({"text": ["a cat"]})
        made.info.update(info)
        return {"train": made}

    monkeypatch.setattr(datasets, "load_dataset", load)
    prompts = read_prompt_set("someone/animals:large@main")
    assert asked == [("someone/animals", "large", "main")]
    assert (prompts.name, prompts.source) == ("someone/animals", f"someone/animals:large@{COMMIT}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("owner/name", HubId("owner/name")),
        ("owner/name@refs/pr/1", HubId("owner/name", "refs/pr/1")),
        ("owner/name:config", HubId("owner/name", None, "config")),
        ("owner/name:config@main", HubId("owner/name", "main", "config")),
        ("o-w.ner/na_me@main:config", HubId("o-w.ner/na_me", "main", "config")),
        ("owner/name@a@b", None),
        ("owner/name@", None),
        ("owner/name/more", None),
        ("name", None),
        ("../name", None),
        ("owner/na me", None),
    ],
)
def test_hub_ids_have_an_owner_a_name_and_marks(text: str, expected: HubId | None) -> None:
    assert parse_hub_id(text) == expected
