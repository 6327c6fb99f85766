"""The configuration that repo2docker gets, seen from what it then renders: no engine, no network."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from repo2docker.__main__ import make_r2d
from repo2docker.app import Repo2Docker

from builder.buildpacks.repo2docker import BuildSpec, command, environment
from builder.engine import base_image
from tests.conftest import ROOT

REPOSITORIES = ROOT / "tests" / "repositories"


@pytest.fixture
def recipe(tmp_path: Path) -> BuildSpec:
    return BuildSpec(
        checkout=tmp_path / "checkout",
        image="test/render",
        repository_url="https://github.com/org/repo",
        commit="0" * 40,
        buildpacks=("uv", "standard"),
        base_image="the-base",
        python_version="3.11",
        cache_id="uv-secret",
    )


def no_build(recipe: BuildSpec) -> list[str]:
    return [*command(recipe)[:-1], "--no-build", str(recipe.checkout)]


def render(recipe: BuildSpec, name: str, **values: object) -> "subprocess.CompletedProcess[str]":
    """Run the builder's own command line up to the Dockerfile; stdout is the Dockerfile."""
    shutil.copytree(REPOSITORIES / name, recipe.checkout, dirs_exist_ok=True)
    child = environment(recipe, recipe.checkout.parent, os.environ)
    child["REPO2HUB_REPO2DOCKER"] = json.dumps(json.loads(child["REPO2HUB_REPO2DOCKER"]) | values)
    return subprocess.run(
        no_build(recipe), env=child, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )


def test_a_repository_of_python_packages_is_rendered_by_uv(recipe: BuildSpec) -> None:
    done = render(recipe, "requirements")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("FROM the-base AS uv\n")
    assert "uv pip install" in done.stdout


def test_without_uv_it_is_rendered_by_repo2dockers_own(recipe: BuildSpec) -> None:
    done = render(replace(recipe, buildpacks=("standard",)), "requirements")
    assert "FROM the-base\n" in done.stdout
    assert "conda" in done.stdout and "uv pip" not in done.stdout


@pytest.mark.parametrize("buildpacks", [("uv", "standard"), ("standard",)])
def test_an_environment_yml_is_rendered_by_repo2dockers_conda(
    recipe: BuildSpec, buildpacks: tuple[str, ...]
) -> None:
    """Rendered, not built: that would need conda-forge."""
    done = render(replace(recipe, buildpacks=buildpacks), "conda")
    assert done.returncode == 0, done.stderr
    assert "COPY --chown=1000:1000 src/environment.yml ${REPO_DIR}/environment.yml" in done.stdout
    assert '--file "environment.yml"' in done.stdout
    assert "environment-2epy-2d3-2e12" in done.stdout, (
        "the base environment of the Python that the file asks for"
    )
    assert "uv pip" not in done.stdout


@pytest.mark.parametrize("buildpacks", [["uv", "standard"], ["standard"]])
def test_an_install_r_is_rendered_by_repo2dockers_r(
    recipe: BuildSpec,
    buildpacks: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Rendered, not built, and in this process: repo2docker asks a package mirror, which is stood in for here."""

    class Answer:
        @staticmethod
        def json() -> dict[str, str]:
            return {"upsi": "2024-06-01+token"}

    def post(url: str, **_: Any) -> Answer:
        assert url == "https://packagemanager.posit.co/__api__/url"
        return Answer()

    monkeypatch.setattr("repo2docker.buildpacks.r.requests.post", post)
    shutil.copytree(REPOSITORIES / "r", recipe.checkout)
    values = {
        "buildpacks": buildpacks,
        "base_image": "the-base",
        "python_version": "3.11",
        "cache_id": None,
        "no_cache": False,
    }
    monkeypatch.setenv("REPO2HUB_REPO2DOCKER", json.dumps(values))
    arguments = no_build(recipe)
    make_r2d(arguments[arguments.index("--config") :]).build()
    rendered = capsys.readouterr().out
    assert "COPY --chown=1000:1000 src/install.R ${REPO_DIR}/install.R" in rendered
    assert rendered.index("Rscript --no-save") < rendered.index("COPY --chown=1000:1000 src/ ${REPO_DIR}/")
    assert "2024-06-01+token" in rendered
    assert "uv pip" not in rendered


@pytest.mark.parametrize("buildpacks", [("uv", "standard"), ("uv",), ("standard",)])
def test_a_dockerfile_wins_over_every_other_file(recipe: BuildSpec, buildpacks: tuple[str, ...]) -> None:
    recipe.checkout.mkdir()
    (recipe.checkout / "Dockerfile").write_text("FROM theirs\n")
    done = render(replace(recipe, buildpacks=buildpacks), "requirements")
    assert done.stdout == "FROM theirs\n\n"


def test_with_uv_alone_a_repository_that_it_cannot_build_fails_with_the_reason(recipe: BuildSpec) -> None:
    done = render(replace(recipe, buildpacks=("uv",)), "conda")
    assert done.returncode == 1
    last = json.loads(done.stderr.splitlines()[-1])
    assert last["phase"] == "failed"
    assert last["message"] == (
        "Error during build: environment.yml needs conda packages. "
        "This service only builds Python packages with uv (REPO2HUB_BUILDPACKS=uv)."
    )


@pytest.mark.parametrize(
    "values",
    [{"buildpacks": ["conda"]}, {"buildpacks": []}, {"buildpacks": ["standard", "uv"]}, {"buildpacks": None}],
)
def test_a_wrong_configuration_ends_the_child_instead_of_leaving_it_the_defaults(
    recipe: BuildSpec, values: dict[str, object]
) -> None:
    done = render(recipe, "requirements", **values)
    assert done.returncode == 1
    assert "configuration failed: ValueError: unknown buildpacks" in done.stderr
    assert done.stdout == ""


def configured(recipe: BuildSpec, monkeypatch: pytest.MonkeyPatch, **values: object) -> Repo2Docker:
    shared = {
        "buildpacks": ["uv", "standard"],
        "base_image": "the-base",
        "python_version": None,
        "cache_id": None,
    }
    monkeypatch.setenv("REPO2HUB_REPO2DOCKER", json.dumps({**shared, "no_cache": False, **values}))
    arguments = no_build(recipe)
    return make_r2d(arguments[arguments.index("--config") :])


def test_only_the_local_content_provider_is_used(recipe: BuildSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    application = configured(recipe, monkeypatch)
    assert [provider.__name__ for provider in application.content_providers] == ["Local"]


def test_a_forced_rebuild_uses_no_earlier_layer(recipe: BuildSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured(recipe, monkeypatch).get_engine().extra_buildx_build_args == ["--provenance=false"]
    forced = configured(recipe, monkeypatch, no_cache=True).get_engine()
    assert forced.extra_buildx_build_args == ["--provenance=false", "--no-cache"]


def test_the_standard_buildpacks_are_repo2dockers_own_list_untouched(
    recipe: BuildSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = configured(recipe, monkeypatch, buildpacks=["standard"])
    assert application.buildpacks == Repo2Docker().buildpacks
    assert application.default_buildpack is Repo2Docker().default_buildpack


def test_uv_stands_after_a_dockerfile_and_before_all_others(
    recipe: BuildSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs = configured(recipe, monkeypatch).buildpacks
    own = Repo2Docker().buildpacks
    assert [*packs[:2], *packs[3:]] == own
    assert packs[2].func.__name__ == "UvBuildPack"


def test_the_default_base_image_is_repo2dockers_own() -> None:
    assert Repo2Docker().base_image.endswith(f"/library/{base_image.DEFAULT_BASE_IMAGE}")
