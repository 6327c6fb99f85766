"""Which files of a repository keep `.git` in the build."""

from pathlib import Path

import pytest

from builder.source.git_folder import _needs_git


def needs_git(folder: Path, path: str, text: str) -> bool:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)
    return _needs_git(folder)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pyproject.toml", 'requires = ["setuptools>=61", "setuptools_scm[toml]>=8"]'),
        ("pyproject.toml", 'requires = ["setuptools-scm"]'),
        ("pyproject.toml", 'requires = ["hatchling", "hatch-vcs"]'),
        ("pyproject.toml", 'requires = ["poetry-core", "poetry-dynamic-versioning"]'),
        ("pyproject.toml", 'version = { source = "scm" }'),
        ("pyproject.toml", 'requires = ["versioningit"]'),
        ("setup.py", "import versioneer"),
        ("setup.py", "setup(setup_requires=['pbr'], pbr=True)"),
        ("setup.py", "setup_requires=['setuptools-git']"),
        ("setup.py", "subprocess.check_output(['git', 'describe'])"),
        ("setup.cfg", "setup_requires = dunamai"),
        ("postBuild", "#!/bin/bash\ngit lfs pull\n"),
        ("binder/postBuild", "git -c core.x=1 submodule update"),
        (".binder/start", "git rev-parse HEAD > version.txt"),
        ("Dockerfile", "FROM x\nCOPY .git /src/.git\n"),
        ("Dockerfile", "FROM x\nRUN cd /src && git describe --tags\n"),
    ],
)
def test_it_stays_where_a_file_asks_for_it(tmp_path: Path, path: str, text: str) -> None:
    assert needs_git(tmp_path, path, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pyproject.toml", '[project]\nname = "x"\nurls = { home = "https://github.com/x/y.git" }'),
        ("requirements.txt", "git+https://github.com/x/y@main\ngitpython\n"),
        ("apt.txt", "git\n"),
        ("Dockerfile", "FROM x\nRUN apt-get install -y git && git clone https://github.com/x/y\n"),
        ("Dockerfile", "FROM x\nCOPY .gitignore /\n"),
        ("postBuild", "echo legit status; # digit log\n"),
        ("README.md", "git describe"),
        ("sub/setup.py", "import versioneer"),
    ],
)
def test_it_goes_where_nothing_asks_for_it(tmp_path: Path, path: str, text: str) -> None:
    assert not needs_git(tmp_path, path, text)


def test_a_folder_with_the_name_of_a_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").mkdir()
    assert not _needs_git(tmp_path)
