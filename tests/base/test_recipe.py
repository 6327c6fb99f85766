"""The recipe: another one for whatever makes another image."""

import re
import tomllib
from importlib.metadata import version

import pytest

from base import image_names
from tests.conftest import ROOT

PLAIN = image_names.compute_recipe(base_image=None, buildpacks=["standard"])


def test_it_is_short_and_always_the_same() -> None:
    assert re.fullmatch(r"[0-9a-f]{12}", PLAIN)
    assert image_names.compute_recipe(base_image=None, buildpacks=("standard",)) == PLAIN


def test_another_base_image_other_buildpacks_or_another_folder_make_another_recipe() -> None:
    others = {
        PLAIN,
        image_names.compute_recipe(base_image="debian:12", buildpacks=["standard"]),
        image_names.compute_recipe(base_image="debian:13", buildpacks=["standard"]),
        image_names.compute_recipe(base_image=None, buildpacks=["uv"]),
        image_names.compute_recipe(base_image=None, buildpacks=["uv", "standard"]),
        image_names.compute_recipe(base_image=None, buildpacks=["standard", "uv"]),
        image_names.compute_recipe(base_image=None, buildpacks=["standard"], repo_dir="/srv/repo"),
    }
    assert len(others) == 7


@pytest.mark.parametrize(("name", "other"), [("REPO2DOCKER_VERSION", "2099.1.0"), ("RECIPE_VERSION", 2)])
def test_another_repo2docker_or_builder_makes_another_recipe(
    monkeypatch: pytest.MonkeyPatch, name: str, other: object
) -> None:
    monkeypatch.setattr(image_names, name, other)
    assert image_names.compute_recipe(base_image=None, buildpacks=["standard"]) != PLAIN


def test_the_version_of_repo2docker_is_the_installed_and_the_required_one() -> None:
    assert image_names.REPO2DOCKER_VERSION == version("jupyter-repo2docker")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (
        f"jupyter-repo2docker=={image_names.REPO2DOCKER_VERSION}"
        in project["optional-dependencies"]["builder"]
    )
