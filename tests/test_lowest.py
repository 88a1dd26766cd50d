from __future__ import annotations

import pytest

from scripts.lowest import lowest


def project(*dependencies: str) -> str:
    extras = 'report = ["plotly>=6"]\nfuzz = ["atheris>=3"]\ndev = ["x[report]", "pytest>=8", "mypy>=1", "peft>=0.20"]'
    return f'[project]\nname = "x"\ndependencies = {list(dependencies)}\n[project.optional-dependencies]\n{extras}\n'


def test_what_users_install_is_pinned_to_its_lowest_version_and_tools_are_not() -> None:
    found = lowest(project("numpy>=2.0", "psycopg[binary]>=3.2.1"))
    assert found == ["numpy==2.0", "peft>=0.20", "plotly==6", "psycopg[binary]==3.2.1", "pytest>=8"]


@pytest.mark.parametrize("dependency", ["numpy", "numpy<3", "numpy>=2.0,<3"])
def test_a_dependency_without_a_lowest_version_alone_is_refused(dependency: str) -> None:
    with pytest.raises(ValueError, match="has no lowest version; write it as name>=version"):
        lowest(project(dependency))
