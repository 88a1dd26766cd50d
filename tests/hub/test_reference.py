from __future__ import annotations

from pathlib import Path

import pytest

from ecad_automl.errors import HubError, OptionError
from ecad_automl.hub.fetching import HubReference, local_path, parse_reference, reference_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user/repo", HubReference("user/repo")),
        ("user/repo@v1", HubReference("user/repo", None, "v1")),
        ("user/repo@refs/pr/1", HubReference("user/repo", None, "refs/pr/1")),
        ("user/repo/a.json", HubReference("user/repo", "a.json")),
        ("user/repo/sub/flux-2.0x.json@v1", HubReference("user/repo", "sub/flux-2.0x.json", "v1")),
        ("u.s-e_r/r.e-p_o", HubReference("u.s-e_r/r.e-p_o")),
        ("schedules/a.json", None),
        ("user/repo/a.txt", None),
        ("user/repo/../a.json", None),
        ("user/repo//a.json", None),
        ("user/repo@", None),
        ("user/repo@a b", None),
        ("./repo", None),
        ("../repo", None),
        ("/user/repo", None),
        ("~/repo", None),
        ("repo", None),
        ("a.json", None),
        ("user\\repo", None),
        ("", None),
    ],
)
def test_names_of_the_hub_have_an_owner_a_name_and_perhaps_a_file_and_a_revision(
    text: str, expected: HubReference | None
) -> None:
    assert parse_reference(text) == expected
    if expected is not None:
        assert str(expected) == text


def test_paths_win_over_names_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert local_path("user/repo") is None
    assert local_path("user/repo@v1") is None
    assert local_path("user/repo/a.json") is None
    assert local_path(Path("user/repo")) == Path("user/repo")
    (tmp_path / "user/repo").mkdir(parents=True)
    assert local_path("user/repo") == Path("user/repo")
    # Of a folder that is there, a file that is not is a typing error.
    assert local_path("user/repo/a.json") == Path("user/repo/a.json")
    assert local_path("user/other") is None
    for path in ("schedules/gone.json", "gone", "./user/gone", "nu\0ll", "x" * 5000):
        assert local_path(path) == Path(path)


def test_name_and_arguments_may_not_contradict_each_other() -> None:
    assert reference_of("user/repo", "v1", "a.json") == HubReference("user/repo", "a.json", "v1")
    assert reference_of("user/repo/a.json@v1", "v1", "a.json") == HubReference("user/repo", "a.json", "v1")
    with pytest.raises(OptionError, match="names 'v1', but revision is 'v2'; give only one"):
        reference_of("user/repo@v1", "v2", None)
    with pytest.raises(OptionError, match=r"names 'a\.json', but filename is 'b\.json'; give only one"):
        reference_of("user/repo/a.json", None, "b.json")
    with pytest.raises(HubError, match="'repo' is neither an existing file or folder nor a repository"):
        reference_of("repo", None, None)
