"""What changes an environment's fingerprint, and what does not."""

import os
import shutil
from pathlib import Path

import pytest

from builder.buildpacks.fingerprint import ENVIRONMENT_FILES, ROOT_FILES, compute_fingerprint

Files = dict[str, str]
RECIPE = "5ca1ab1e0000"


def write(folder: Path, files: Files) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def fingerprint_of(tmp_path: Path, files: Files, recipe: str = RECIPE) -> str:
    folder = tmp_path / "checkout"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return compute_fingerprint(write(folder, files), recipe)


def test_it_is_a_sha256_and_equal_for_equal_files(tmp_path: Path) -> None:
    files = {"requirements.txt": "numpy\n"}
    first, second = (compute_fingerprint(write(tmp_path / name, files), RECIPE) for name in ("a", "b/c"))
    assert first == second
    assert len(first) == 64 and int(first, 16)


def test_times_and_modes_do_not_count_but_the_executable_bit(tmp_path: Path) -> None:
    folder = write(tmp_path, {"postBuild": "true", "a": "x"})
    before = compute_fingerprint(folder, RECIPE)
    os.utime(folder / "a", (0, 0))
    (folder / "a").chmod(0o600)
    assert compute_fingerprint(folder, RECIPE) == before
    (folder / "postBuild").chmod(0o755)
    assert compute_fingerprint(folder, RECIPE) != before


def test_the_recipe_counts(tmp_path: Path) -> None:
    assert fingerprint_of(tmp_path, {}, "one") != fingerprint_of(tmp_path, {}, "two")


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {
            "requirements.txt": "numpy\npandas==2.0  # see ./notes\nflask @ https://host/flask.whl\n-i https://host/\n"
        },
        {"requirements.txt": "numpy\n", "pyproject.toml": "[tool.black]\nline-length = 100\n"},
        {"environment.yml": "channels:\n  - conda-forge/label/dev\ndependencies:\n  - pip:\n    - x==1\n"},
        {"binder/requirements.txt": "numpy\n", "setup.py": "x", "Dockerfile": "COPY . ."},
        {".binder/environment.yml": "dependencies: [numpy]\n"},
        {"apt.txt": "curl\n", "runtime.txt": "python-3.11\n"},
        {"install.R": 'install.packages("readr")\n', "runtime.txt": "r-4.3-2024-01-01"},
        {"Pipfile": '[packages]\nnumpy = "*"\n'},
        {"Project.toml": '[deps]\nExample = "7876af07-990d-54b4-ab0e-23690620f79a"\n'},
        {"Dockerfile": "FROM x\nRUN pip install numpy\n"},
        {"start": '#!/bin/sh\nexec "$@"\n'},
    ],
    ids=str,
)
def test_a_notebook_does_not_change_it(tmp_path: Path, environment: Files) -> None:
    before = fingerprint_of(tmp_path, environment | {"index.ipynb": "{}"})
    after = fingerprint_of(tmp_path, environment | {"index.ipynb": '{"cells": []}', "data/new.csv": "1,2"})
    assert before == after


@pytest.mark.parametrize("folder", ["", "binder/", ".binder/"])
@pytest.mark.parametrize("name", ENVIRONMENT_FILES)
def test_each_file_that_repo2docker_reads_changes_it(tmp_path: Path, folder: str, name: str) -> None:
    files = {f"{folder}README": "x"}
    absent = fingerprint_of(tmp_path, files)
    present = fingerprint_of(tmp_path, files | {f"{folder}{name}": "a"})
    changed = fingerprint_of(tmp_path, files | {f"{folder}{name}": "b"})
    assert len({absent, present, changed}) == 3


@pytest.mark.parametrize("name", [*ROOT_FILES, ".gitmodules"])
def test_each_file_that_counts_at_the_root_only_changes_it(tmp_path: Path, name: str) -> None:
    assert fingerprint_of(tmp_path, {name: "a"}) != fingerprint_of(tmp_path, {name: "b"})


@pytest.mark.parametrize(
    "name", ["requirements.txt", "Dockerfile", "setup.py", "postBuild", "pyproject.toml"]
)
def test_with_a_binder_folder_the_root_does_not_count(tmp_path: Path, name: str) -> None:
    binder = {"binder/requirements.txt": "numpy\n"}
    assert fingerprint_of(tmp_path, binder | {name: "a"}) == fingerprint_of(tmp_path, binder | {name: "b"})


def test_with_a_dockerfile_nothing_else_counts_but_what_it_copies(tmp_path: Path) -> None:
    plain = {"Dockerfile": "FROM x\n"}
    assert fingerprint_of(tmp_path, plain | {"requirements.txt": "a"}) == fingerprint_of(tmp_path, plain)
    assert fingerprint_of(tmp_path, plain | {".dockerignore": "a"}) != fingerprint_of(tmp_path, plain)
    assert fingerprint_of(tmp_path, {"binder/Dockerfile": "FROM x\n"}) != fingerprint_of(
        tmp_path, {"binder/Dockerfile": "FROM y\n"}
    )


@pytest.mark.parametrize(
    "environment",
    [
        {"postBuild": "true"},
        {"binder/postBuild": "true"},
        {"setup.py": "x"},
        {"pyproject.toml": "[project]\nname = 'x'\n"},
        {"DESCRIPTION": "Package: x"},
        {"default.nix": "{}"},
        {"requirements.txt": "-r other.txt\n"},
        {"requirements.txt": "numpy\n-cconstraints.txt\n"},
        {"requirements.txt": "--requirement=other.txt\n"},
        {"requirements.txt": "-e .\n"},
        {"requirements.txt": ".\n"},
        {"requirements.txt": ".[all]\n"},
        {"requirements.txt": "./lib\n"},
        {"requirements.txt": "lib/package\n"},
        {"requirements.txt": "mine @ file:///home/jovyan/lib\n"},
        {"environment.yml": "dependencies:\n  - pip:\n    - -r requirements.txt\n"},
        {"environment.yml": "dependencies:\n  - pip:\n    - -e .\n"},
        {"environment.yml": "dependencies:\n  - pip:\n    - '.'\n"},
        {"environment.yml": "dependencies:\n  - pip: [-e ., numpy]\n"},
        {"environment.yml": "dependencies:\n  - pip:\n    - numpy\n    - lib/package\n"},
        {"Pipfile": '[packages]\nx = {path = ".", editable = true}\n'},
        {"Pipfile.lock": '{"x": {"editable": true}}'},
        {"Project.toml": 'name = "X"\nuuid = "7876af07"\n'},
        {"Manifest.toml": '[[deps.X]]\npath = "../X"\n'},
        {"install.R": 'source("packages.R")\n'},
        {"install.R": "renv::restore()\n"},
        {"Dockerfile": "FROM x\nCOPY . /src\n"},
        {"Dockerfile": "FROM x\n  add data /data\n"},
        {"binder/Dockerfile": "FROM x\nRUN --mount=type=bind,target=/src make -C /src\n"},
    ],
    ids=str,
)
def test_where_the_build_can_read_anything_everything_counts(tmp_path: Path, environment: Files) -> None:
    before = fingerprint_of(tmp_path, environment | {"lib/code.py": "x = 1"})
    after = fingerprint_of(tmp_path, environment | {"lib/code.py": "x = 2"})
    assert before != after


def test_in_a_tree_links_names_and_git_are_told_apart(tmp_path: Path) -> None:
    folder = write(tmp_path, {"setup.py": "x", "a": "1", "b": "2", "sub/c": "3", ".git/config": "x"})
    seen = {compute_fingerprint(folder, RECIPE)}
    (folder / ".git" / "config").write_text("y")
    assert compute_fingerprint(folder, RECIPE) in seen
    (folder / "link").symlink_to("a")
    seen.add(compute_fingerprint(folder, RECIPE))
    (folder / "link").unlink()
    (folder / "link").symlink_to("b")
    seen.add(compute_fingerprint(folder, RECIPE))
    (folder / "folder").symlink_to("sub")
    seen.add(compute_fingerprint(folder, RECIPE))
    (folder / "a").rename(folder / "z")
    seen.add(compute_fingerprint(folder, RECIPE))
    assert len(seen) == 5


def test_a_linked_environment_file_counts_with_its_content(tmp_path: Path) -> None:
    folder = write(tmp_path, {"env/real.txt": "numpy\n"})
    (folder / "requirements.txt").symlink_to("env/real.txt")
    before = compute_fingerprint(folder, RECIPE)
    (folder / "env" / "real.txt").write_text("pandas\n")
    assert compute_fingerprint(folder, RECIPE) != before
