from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ecad_automl.errors import FileError
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import Measured, ScheduleFile, ScheduleMetadata, schedule_sha256
from ecad_automl.sharing import collection_card, schedule_card, write_card
from ecad_automl.sharing.card import replaceable, sealed
from ecad_automl.sharing.markdown import cell, code, plain, quote, table
from tests.sharing.examples import METADATA, METADATAS, every, schedules, several

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
ALLOWED = {
    *("h1", "h2", "p", "code", "pre", "a", "strong", "blockquote", "br"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


class Shown(HTMLParser):
    """The elements and attributes of a page, and the text of its code spans and of the whole."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str | None] = []
        self.codes: list[str] = []
        self.text = ""
        self.in_code = False
        self.page = MARKDOWN.render(markdown)
        self.feed(self.page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name != "class"]
        if tag == "code":
            self.codes.append("")

        self.in_code = tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self.in_code = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.in_code:
            self.codes[-1] += data

    def handle_comment(self, data: str) -> None:
        self.tags.append("comment")


def body(card: str) -> str:
    return card.split("\n---\n", 1)[1]


def cells(card: str) -> dict[str, list[str]]:
    """The rows of all tables by their first cells, without the marks of code."""
    rows = [line[2:-2].split(" | ") for line in card.splitlines() if line.startswith("| ")]
    return {plain_text(row[0]): [plain_text(value) for value in row[1:]] for row in rows}


def plain_text(markdown: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", MARKDOWN.render(markdown))).strip()


def test_the_card_says_what_is_saved_what_was_measured_and_how_to_apply_it() -> None:
    card = schedule_card(ScheduleFile(every(3), METADATA), "user/repo")
    rows = cells(card)
    # 6 steps of 30 GMACs, of which 3 are not in slots; 2 steps are computed.
    assert "computes 33% of the transformer's components" in card
    assert "2.50 times fewer multiply-accumulates" in card
    assert "72 GMACs for an image in place of 180" in card
    assert rows["attn"] == ["33%"]
    assert rows["reward_difference"] == ["-0.0125", "-0.02 to -0.005 at 95 %", "800"]
    assert rows["confirmed_reward_difference"] == ["-0.0375", "-0.0625 to -0.0125 at 95 %", "96"]
    assert rows["gmacs"] == ["1234.5 GMAC", "", ""]
    assert rows["reward"] == ["image-reward"]
    assert rows["denoising steps"] == ["6"]
    assert rows["scheduler"] == ["FlowMatchEulerDiscreteScheduler"]
    assert rows["height x width"] == ["256 x 512"]
    assert rows["sha256"] == [schedule_sha256(every(3))]
    assert rows["version of diffusers"] == ["0.42.1"]
    assert "stayed on the front" in card
    assert 'with apply_schedule(pipe, "user/repo"):' in card


def test_the_card_says_plainly_what_is_bad_or_not_known() -> None:
    beaten = METADATA.model_copy(update={"survives": False})
    assert "was better at no higher cost" in schedule_card(ScheduleFile(every(3), beaten), "a/b")
    bare = schedule_card(ScheduleFile(every(3), ScheduleMetadata()), "a/b")
    assert "Nothing was measured" in bare
    assert "None" not in bare
    timed = METADATA.model_copy(update={"objectives": {"latency_speedup": Measured(value=1.9)}})
    assert "what the study's model of its device predicts" in schedule_card(ScheduleFile(every(3), timed), "a/b")


def test_the_front_matter_is_what_the_hub_reads() -> None:
    data = ModelCard(schedule_card(ScheduleFile(every(3), METADATA), "a/b")).data
    assert data.library_name == "ecad-automl"
    assert data.base_model == ["black-forest-labs/FLUX.1-dev"]
    assert {"ecad-automl", "diffusers", "FluxTransformer2DModel"} <= set(data.tags)
    assert data.license is None
    assert ModelCard(schedule_card(ScheduleFile(every(3), METADATA), "a/b", "mit")).data.license == "mit"


@pytest.mark.parametrize(
    ("model", "revision"), [("shapes", None), ("./folder", None), ("owner/name", "folder-0123"), ("a/b\n- c", None)]
)
def test_what_is_no_model_of_the_hub_is_no_base_model(model: str, revision: str | None) -> None:
    metadata = ScheduleMetadata(model=model, revision=revision)
    card = schedule_card(ScheduleFile(every(3), metadata), "a/b")
    assert "base_model" not in yaml.safe_load(card.split("---\n")[1])
    assert "](https" not in card


EVIL = [
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "a | b\n| c | d |",
    "```\n# heading\n```",
    "`code` ``` ``",
    "\\`a\\|b\\",
    "<!-- comment",
    "--> # heading",
    "&lt;b&gt; &amp;",
    "* list\n1. list\n> quote\n---",
    "https://evil.example www.evil.example @someone",
    "\u202egnp.exe \ud800 \x1b[31m",
    "'; import os  # \"",
]


@pytest.mark.parametrize("text", EVIL)
def test_names_and_notes_with_markdown_or_html_are_shown_as_text(text: str) -> None:
    metadata = ScheduleMetadata(
        name=text,
        model=text,
        scheduler=text,
        dtype=text,
        study=text,
        notes=text,
        objectives={text: Measured(value=1.0, unit=text)},
        versions={text: text},
    )
    harmless = schedule_card(ScheduleFile(every(3), ScheduleMetadata(**metadata.model_dump() | _replaced("x"))), "a/b")
    card = schedule_card(ScheduleFile(every(3), metadata), "a/b")
    shown, expected = Shown(body(card)), Shown(body(harmless))
    assert [tag for tag in shown.tags if tag != "br"] == expected.tags
    assert not shown.addresses
    line = " ".join("".join(c if c.isprintable() else " " for c in text.replace("\ud800", "?")).split())
    assert shown.codes.count(line) >= 5
    card.encode("utf-8")


def _replaced(text: str) -> dict[str, object]:
    return {
        **dict.fromkeys(("name", "model", "scheduler", "dtype", "study", "notes"), text),
        "objectives": {text: Measured(value=1.0, unit=text)},
        "versions": {text: text},
    }


@settings(max_examples=60)
@given(schedule=schedules(), metadata=METADATAS, source=st.text())
def test_no_schedule_makes_other_elements_than_cards_have(
    schedule: Schedule, metadata: ScheduleMetadata, source: str
) -> None:
    card = schedule_card(ScheduleFile(schedule, metadata), source)
    shown = Shown(body(card))
    assert set(shown.tags) <= ALLOWED
    assert shown.tags.count("h1") == 1
    assert shown.tags.count("pre") == 1
    assert shown.tags.count("table") == (3 if metadata.objectives else 2)
    assert all(address and address.startswith("https://huggingface.co/") for address in shown.addresses)
    assert set(yaml.safe_load(card.split("\n---\n")[0].removeprefix("---"))) <= {"library_name", "tags", "base_model"}


@given(st.text(min_size=1))
def test_escaped_text_comes_back_from_markdown(text: str) -> None:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    shown = Shown(f"x {plain(text)}")
    assert shown.tags == ["p"]
    assert shown.text.strip() == f"x {line}".strip()
    if line:
        assert Shown(code(text)).codes == [line]
        assert Shown(table(["a", "b"], [[cell(text), "x"]])).codes == [line]


def test_a_quote_keeps_its_lines_and_paragraphs() -> None:
    shown = Shown(quote("one\ntwo *three*\n\nfour"))
    assert shown.tags == ["blockquote", "p", "br", "p"]
    assert "two *three*" in shown.text


def test_the_card_of_several_lists_all_with_what_unseen_prompts_say() -> None:
    card = collection_card(several(), "user/repo")
    rows = cells(card)
    assert rows["every-2.json"] == ["1.82x", "99", "-0.1000 (-1.1 to 0.9)", "-0.3000", "yes"]
    assert rows["every-6.json"] == ["4.00x", "45", "-0.4000 (-1.4 to 0.6)", "-0.1000", "no"]
    assert 'apply_schedule(pipe, "user/repo/every-3.json")' in card
    assert 'load_index("user/repo")' in card
    assert set(Shown(body(card)).tags) <= ALLOWED


def test_a_card_is_replaced_unless_a_person_wrote_or_edited_it(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    write_card(tmp_path, "one\n", None)
    write_card(tmp_path, "two\n", None)
    assert path.read_text().startswith("two\n")
    assert replaceable(path.read_bytes().decode().replace("\n", "\r\n"))
    path.write_text(path.read_text().replace("two", "license: mit"))
    with pytest.raises(FileError, match="was written or edited by a person"):
        write_card(tmp_path, "three\n", None)
    assert "mit" in path.read_text()
    write_card(tmp_path, "three\n", True)
    assert path.read_text().startswith("three\n")
    path.write_text(path.read_text() + "more\n")
    with pytest.raises(FileError, match="edited by a person"):
        write_card(tmp_path, "four\n", None)


@given(st.text(), st.text())
def test_the_seal_holds_for_its_text_alone(text: str, other: str) -> None:
    text, other = (part.replace("\r", "").encode("utf-8", "replace").decode() for part in (text, other))
    card = sealed(text)
    assert replaceable(card)
    assert replaceable(other + card) == (other == "")
    assert not replaceable(text)
