from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from ecad_automl.errors import FileError, PromptError
from ecad_automl.prompts import files, read_prompt_set


def written(path: Path, content: object) -> str:
    """The name of a file that holds a text as it is, bytes, or JSON."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


def test_a_text_file_holds_a_prompt_per_line(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.txt", "# animals\na cat\n\n  a dog, 4k \n a # b\n")
    prompts = read_prompt_set(file)
    assert prompts.prompts == ("a cat", "a dog, 4k", "a # b")
    assert prompts.categories == (None,) * 3
    assert (prompts.name, prompts.source, prompts.notes) == ("mine", file, ())
    assert read_prompt_set(written(tmp_path / "prompts", "a cat")).prompts == ("a cat",)


def test_marks_of_other_systems_are_no_part_of_prompts(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.txt", b"\xef\xbb\xbfa cat\r\na dog\ra cow\xe2\x80\xa8on a hill\r\n")
    assert read_prompt_set(file).prompts == ("a cat", "a dog", "a cow\u2028on a hill")
    table = written(tmp_path / "mine.csv", b"\xef\xbb\xbfprompt,category\r\na cat,cats\r\n")
    assert read_prompt_set(table).categories == ("cats",)


@pytest.mark.parametrize(
    ("data", "prompts", "categories"),
    [
        (["a", "b"], ("a", "b"), (None, None)),
        ([{"prompt": "a", "category": "x"}, {"prompt": "b"}], ("a", "b"), ("x", None)),
        ([{"id": 1, "caption": "a"}], ("a",), (None,)),
        ({"1": "a", "2": "b"}, ("a", "b"), (None, None)),
        ({"1": {"prompt": "a", "category": "x"}, "2": {"prompt": "b"}}, ("a", "b"), ("x", None)),
        ({"cats": ["a", "b"], "dogs": ["c"]}, ("a", "b", "c"), ("cats", "cats", "dogs")),
        ({"prompts": ["a", "b"]}, ("a", "b"), (None, None)),
        ({"x": [{"text": "a"}], "y": [{"text": "b", "category": "z"}]}, ("a", "b"), ("x", "z")),
    ],
)
def test_json_of_every_usual_form_is_read(
    tmp_path: Path, data: object, prompts: tuple[str, ...], categories: tuple[str | None, ...]
) -> None:
    found = read_prompt_set(written(tmp_path / "mine.json", data))
    assert found.prompts == prompts
    assert found.categories == categories


def test_lines_of_json_are_objects_or_texts(tmp_path: Path) -> None:
    objects = '{"Prompt": "a", "category": "x"}\n\n{"Prompt": "b"}\n'
    assert read_prompt_set(written(tmp_path / "a.jsonl", objects)).categories == ("x", None)
    assert read_prompt_set(written(tmp_path / "b.jsonl", '"a"\n"b"')).prompts == ("a", "b")


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_tables_are_read_by_the_name_of_the_column(tmp_path: Path, suffix: str, delimiter: str) -> None:
    rows = [["id", "german", "prompt"], ["1", "eine Katze", "a cat"], ["2", "ein Hund", 'a "dog", \n or\t not']]
    path = tmp_path / f"mine.{suffix}"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    assert read_prompt_set(str(path)).prompts == ("a cat", 'a "dog", \n or\t not')
    assert read_prompt_set(str(path), column="german").prompts == ("eine Katze", "ein Hund")
    with pytest.raises(PromptError, match=r"no column 'french'; its columns are id, german, prompt"):
        read_prompt_set(str(path), column="french")


def test_a_column_of_prompts_is_not_that_of_categories_too(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.csv", "category,classification\na cat,pets\na lion,zoo\n")
    assert read_prompt_set(file, column="category").categories == ("pets", "zoo")
    assert read_prompt_set(file, column="classification").categories == ("a cat", "a lion")


texts = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), min_size=1)


@given(st.lists(st.tuples(texts, texts), min_size=1, unique_by=lambda row: row[0]))
def test_csv_is_read_as_another_library_wrote_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "mine.csv"
    prompts, categories = (list(column) for column in zip(*rows, strict=True))
    arrow_csv.write_csv(pa.table({"prompt": prompts, "category": categories}), path)
    found = read_prompt_set(str(path))
    assert found.prompts == tuple(prompts)
    assert found.categories == tuple(categories)


def test_parquet_is_read_by_the_name_of_the_column(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    parquet.write_table(
        pa.table({"image": [b"1", b"2"], "german": ["eine Katze", "ein Hund"], "Caption": ["a cat", "a dog"]}), path
    )
    assert read_prompt_set(str(path)).prompts == ("a cat", "a dog")
    assert read_prompt_set(str(path), column="german").prompts == ("eine Katze", "ein Hund")
    with pytest.raises(PromptError, match=r"no column 'french'; its columns are image, german, Caption"):
        read_prompt_set(str(path), column="french")


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.parquet"
    parquet.write_table(pa.table({"prompt": ["a cat"]}), path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PromptError, match=r"needs pyarrow.*ecad-automl\[datasets\]"):
        read_prompt_set(str(path))


def test_a_limit_takes_the_first_prompts(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.json", ["a", "a", "b", "c"])
    assert read_prompt_set(file, limit=2).prompts == ("a", "b")
    assert len(read_prompt_set(file, limit=2).notes) == 2


@pytest.mark.parametrize(
    ("name", "content", "messages"),
    [
        ("a.txt", "# nothing\n\n", ["a.txt holds no prompt"]),
        ("a.txt", b"a cat\xff", ["is not UTF-8 text \\(byte 6\\)"]),
        ("a.json", '["a",\n "b"', ["not JSON from line 2, column 5 on"]),
        ("a.json", "", ["not JSON from line 1, column 1 on"]),
        ("a.json", "[" * 100_000, ["cannot be read"]),
        ("a.json", "9" * 5000, ["cannot be read"]),
        ("a.json", "3", ["a.json holds 3; a list of texts or objects is expected"]),
        ("a.json", {}, ["holds an empty object"]),
        ("a.json", {"a": "b", "c": ["d"]}, ["other or mixed types"]),
        ("a.json", [], ["holds no prompt"]),
        ("a.json", ["a", {"prompt": "b"}], ["Item 1 of .*a.json is 'a'; all items must be texts"]),
        ("a.json", [{"prompt": "a"}, {"text": "b"}], ["Item 2 of .* has no 'prompt'"]),
        ("a.json", [{"name": "a"}], ["no column of prompts \\(prompt, Prompt,.*its columns are name"]),
        ("a.json", [{"prompt": ""}], ["Prompt 1 of 1 in .*a.json is empty"]),
        ("a.jsonl", '"a"\n\n"b\n', ["not JSON from line 3, column 1 on"]),
        ("a.csv", "", ["a.csv is empty"]),
        ("a.csv", "a cat\na dog\n", ["no column of prompts.*its columns are a cat"]),
        ("a.csv", "prompt,category\na, b, c\n", ["Line 2 of .*a.csv ends a row of 3 cells, but .* 2 columns"]),
        ("a.csv", 'prompt\n"a\n', ["damaged at line"]),
        ("a.csv", 'prompt\n"a" b\n', ["damaged at line 2"]),
        ("a.csv", "prompt,prompt\na,b\n", ["more than one column named 'prompt'"]),
        ("a.csv", "prompt,b\n,x\n", ["Prompt 1 of 1 .* is empty"]),
        ("a.parquet", b"PAR1 no parquet", ["a.parquet cannot be read"]),
        ("a.yaml", "- a cat", ["a.yaml has an unknown suffix; name it one of .txt, .json"]),
    ],
)
def test_a_bad_file_is_one_clear_sentence(tmp_path: Path, name: str, content: object, messages: Sequence[str]) -> None:
    file = written(tmp_path / name, content)
    for message in messages:
        with pytest.raises((FileError, PromptError), match=message) as caught:
            read_prompt_set(file)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "missing.txt",
        "no/such.txt",
        "./no/such/folder",
        "/no/such",
        "no such",
        "a/b/c",
        "~nobody-here/x.txt",
        "parti@",
        "x" * 5000,
        "a\0b",
    ],
)
def test_what_is_not_there_is_refused_with_what_is_possible(name: str) -> None:
    with pytest.raises(PromptError, match=r"no prompt file .*give a file \(.txt.*mjhq.*owner/name"):
        read_prompt_set(name)


def test_a_file_may_have_an_equals_sign_in_its_name(tmp_path: Path) -> None:
    assert read_prompt_set(written(tmp_path / "a=b.txt", "a cat")).name == "a=b"


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(PromptError, match="name of the prompts is empty"):
        read_prompt_set(" ")


def test_options_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    lines, listed = written(tmp_path / "a.txt", "a"), written(tmp_path / "a.json", ["a"])
    with pytest.raises(PromptError, match="column 'prompt' was named, but the text file"):
        read_prompt_set(lines, column="prompt")
    with pytest.raises(PromptError, match="column 'prompt' was named, but .* holds texts alone"):
        read_prompt_set(listed, column="prompt")
    with pytest.raises(PromptError, match="split 'test' was named, but .* is one file"):
        read_prompt_set(lines, split="test")
    with pytest.raises(PromptError, match="The first 0 prompts"):
        read_prompt_set(lines, limit=0)


def test_files_of_more_than_a_bound_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = tmp_path / "large.parquet"
    with large.open("wb") as file:
        file.truncate(files.MAX_PARQUET_BYTES + 1)
    with pytest.raises(FileError, match="larger than 1024 MiB"):
        read_prompt_set(str(large))
    monkeypatch.setattr(files, "MAX_TEXT_BYTES", 2**20)
    for name in ("large.txt", "large.json", "large.csv"):
        assert len(read_prompt_set(written(tmp_path / "fits.txt", "a" * 2**20)).prompts) == 1
        with pytest.raises(FileError, match="larger than 1 MiB"):
            read_prompt_set(written(tmp_path / name, "a" * (2**20 + 1)))


def test_parquet_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.parquet"
    parquet.write_table(pa.table({"prompt": [f"{n} cats" for n in range(2000)]}), path, compression="zstd")
    monkeypatch.setattr(files, "MAX_PARQUET_BYTES", path.stat().st_size + 1)
    with pytest.raises(FileError, match="larger than"):
        read_prompt_set(str(path))
    monkeypatch.undo()
    monkeypatch.setattr(files, "MAX_PARQUET_ROWS", 1999)
    with pytest.raises(FileError, match="2000 rows, more than the 1999"):
        read_prompt_set(str(path))
    monkeypatch.undo()
    assert len(read_prompt_set(str(path)).prompts) == 2000
