"""Decide which repositories uv can build, by repo2docker's rules of which files count.

The reason why it cannot build one is shown to the repository's owner, so it names the file and what it needs. The
checkout is hostile: a link that leaves it is an error and is never read.
"""

import tomllib
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from builder.buildpacks import uv_requirements

OLDEST_PYTHON = (3, 10)
"""The version that builder/buildpacks/uv/jupyter.txt is compiled for."""

_OTHER_TOOL_FILES = {
    "environment.yml": "conda packages",
    "environment.yaml": "conda packages",
    "Pipfile": "pipenv",
    "Pipfile.lock": "pipenv",
    "Project.toml": "Julia",
    "JuliaProject.toml": "Julia",
    "REQUIRE": "Julia",
    "default.nix": "Nix",
    "install.R": "R",
}
_ALSO_READ = (
    "requirements.txt",
    "runtime.txt",
    "apt.txt",
    "postBuild",
    "start",
    ".dockerignore",
    ".containerignore",
)
_ROOT_ONLY = ("DESCRIPTION", "setup.py", "pyproject.toml")


class InvalidRepository(Exception):
    """A file that no buildpack may use; the text is for the repository's owner."""


def check_links(folder: str) -> None:
    """Raise InvalidRepository if a file that the build reads is a link out of the checkout, the current folder.

    `folder` is the one that repo2docker reads: "binder", ".binder" or "" for the root.
    """
    root = Path.cwd().resolve()
    names = [Path(folder, name) for name in (*_OTHER_TOOL_FILES, *_ALSO_READ)]
    for path in [*names, *map(Path, _ROOT_ONLY)]:
        if not path.resolve().is_relative_to(root):
            raise InvalidRepository(
                f"{path} is a symbolic link to a place outside the repository. Link to a file inside it."
            )


def unsupported_reason(
    folder: str, runtime: tuple[str | None, str | None], python_version: str | None
) -> str | None:
    """Return why uv cannot build the repository in the current folder, or None if it can.

    `folder` as in `check_links`; `runtime` is the name and version in runtime.txt, None if missing;
    `python_version` is the base image's ("3.11"), None if it has no usable Python. Raises InvalidRepository for
    an invalid pyproject.toml.
    """
    return (
        _other_language(folder)
        or _wrong_python(runtime, python_version)
        or _wrong_requires_python(folder, python_version)
        or _pip_only_requirements(Path(folder, "requirements.txt"))
    )


def is_package(folder: str) -> bool:
    """Return whether repo2docker would run `pip install .`: never with a binder folder."""
    if folder:
        return False
    return Path("setup.py").exists() or {"project", "build-system"} <= _pyproject().keys()


def _other_language(folder: str) -> str | None:
    for name, what in _OTHER_TOOL_FILES.items():
        path = Path(folder, name)
        if path.exists():
            return f"{path} needs {what}"
    if not folder and Path("DESCRIPTION").exists():
        return "DESCRIPTION needs R"
    return None


def _wrong_python(runtime: tuple[str | None, str | None], python_version: str | None) -> str | None:
    name, version = runtime
    if name not in (None, "python"):
        return f"runtime.txt needs {name!r:.40}"
    if python_version is None:
        return "the base image has no Python 3 with support for virtual environments"
    if tuple(map(int, python_version.split("."))) < OLDEST_PYTHON:
        return f"the base image's Python {python_version} is older than 3.10"
    # In repo2docker, "python-3" means any Python 3.
    if version not in (None, "3", python_version):
        return f"runtime.txt needs Python {version!r:.40}, but the base image has {python_version}"
    return None


def _wrong_requires_python(folder: str, python_version: str | None) -> str | None:
    project = {} if folder else _pyproject().get("project")
    required = project.get("requires-python") if isinstance(project, dict) else None
    if not isinstance(required, str) or python_version is None:
        return None
    try:
        allowed = SpecifierSet(required)
    except InvalidSpecifier as exc:
        raise InvalidRepository(f"pyproject.toml has an invalid requires-python: {exc}") from exc
    # Only the minor version is known. A high patch release stands for it too, or ">=3.11.4" would be rejected.
    if allowed.contains(f"{python_version}.99") or allowed.contains(python_version):
        return None
    return f"pyproject.toml needs Python {required!r:.40}, but the base image has {python_version}"


def _pip_only_requirements(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        line = uv_requirements.unsupported_line(uv_requirements.decode_requirements(path.read_bytes()))
    except UnicodeDecodeError:
        return f"{path} is not encoded in UTF-8"
    return line and f"{path} has a line that only pip supports: {line:.80}"


def _pyproject() -> dict[str, Any]:
    try:
        return tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise InvalidRepository(f"pyproject.toml is not valid TOML: {exc}") from exc
