"""Which repositories uv builds, and the Dockerfiles that it renders for them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.buildpacks import uv_detect, uv_requirements
from builder.buildpacks.uv_buildpack import UvBuildPack
from builder.buildpacks.uv_cache import cache_id
from builder.context import BuilderContext
from builder.settings import BuilderSettings

CACHE = "uv-0123456789abcdef"


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository, current as repo2docker makes it."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(path: str, content: str = "") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content)


def buildpack(**changes: Any) -> UvBuildPack:
    return UvBuildPack(**{"base_image": "base", "python_version": "3.11", "cache_id": CACHE, **changes})


def dockerfile(**changes: Any) -> str:
    return buildpack(**changes).render({"NB_UID": "1000", "NB_USER": "jovyan"})


PACKAGE = '[build-system]\nrequires = ["setupcontext"]\n[project]\nname = "x"\nversion = "1"\n'


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("README.md", "a repository that needs nothing"),
        ("requirements.txt", "numpy"),
        ("pyproject.toml", PACKAGE),
        ("pyproject.toml", PACKAGE + 'requires-python = ">=3.11.4"'),
        ("setup.py", "from setupcontext import setup"),
        ("runtime.txt", "python-3.11\n"),
        ("runtime.txt", "python-3\n"),
        ("runtime.txt", "python-3.11-2024-06-01\n"),
        ("apt.txt", "hello"),
        ("postBuild", "true"),
        ("start", "true"),
        ("binder/requirements.txt", "numpy"),
        (".binder/apt.txt", "hello"),
    ],
)
def test_a_repository_of_python_packages_is_taken(path: str, content: str) -> None:
    write(path, content)
    assert buildpack().detect()


@pytest.mark.parametrize(
    ("path", "content", "names"),
    [
        ("environment.yml", "", "environment.yml needs conda packages"),
        ("environment.yaml", "", "environment.yaml needs conda packages"),
        ("binder/environment.yml", "", "binder/environment.yml needs conda packages"),
        ("Pipfile", "", "Pipfile needs pipenv"),
        ("Pipfile.lock", "{}", "Pipfile.lock needs pipenv"),
        ("Project.toml", "", "Project.toml needs Julia"),
        ("JuliaProject.toml", "", "JuliaProject.toml needs Julia"),
        ("REQUIRE", "", "REQUIRE needs Julia"),
        ("default.nix", "", "default.nix needs Nix"),
        ("install.R", "", "install.R needs R"),
        ("DESCRIPTION", "", "DESCRIPTION needs R"),
        ("runtime.txt", "r-4.3-2024-06-01", "runtime.txt needs 'r'"),
        ("runtime.txt", "python-3.9", "runtime.txt needs Python '3.9', but the base image has 3.11"),
        ("runtime.txt", "python-2.7", "runtime.txt needs Python '2.7'"),
        (
            "pyproject.toml",
            '[project]\nrequires-python = ">=3.12"',
            "pyproject.toml needs Python '>=3.12'",
        ),
        (
            "requirements.txt",
            "-e git+https://example.org/x/y#egg=y",
            "requirements.txt has a line that only pip",
        ),
    ],
)
def test_a_repository_that_uv_cannot_build_is_left_to_the_next_buildpack_or_fails_with_the_reason(
    path: str, content: str, names: str, caplog: pytest.LogCaptureFixture
) -> None:
    write("requirements.txt", "numpy")
    write(path, content)
    with caplog.at_level("INFO", logger="repo2docker"):
        assert not buildpack().detect()
    assert names in caplog.text
    with pytest.raises(uv_detect.InvalidRepository, match=re.escape(names)):
        buildpack(required=True).detect()


def test_files_outside_a_binder_folder_do_not_count() -> None:
    for name in ("environment.yml", "DESCRIPTION", "setup.py", "runtime.txt"):
        write(name, "python-3.9")
    write("pyproject.toml", PACKAGE + 'requires-python = ">=3.99"')
    write("binder/requirements.txt", "numpy")
    assert buildpack().detect()
    assert (
        "install --index-strategy unsafe-best-match --compile-bytecode -r binder/requirements.txt"
        in dockerfile()
    )
    assert "--compile-bytecode ." not in dockerfile()


def test_both_binder_folders_are_repo2dockers_own_error() -> None:
    write("binder/requirements.txt")
    write(".binder/requirements.txt")
    with pytest.raises(RuntimeError, match=r"both a 'binder' and a '\.binder'"):
        buildpack().detect()


@pytest.mark.parametrize("version", [None, "3.8"])
def test_a_base_image_without_a_python_that_is_new_enough_is_refused(version: str | None) -> None:
    assert not buildpack(python_version=version).detect()


@pytest.mark.parametrize("content", ["not = [toml", '[project]\nrequires-python = "what"', b"\xff\xfe"])
def test_a_broken_pyproject_is_named(content: str | bytes) -> None:
    Path("pyproject.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(uv_detect.InvalidRepository, match=r"pyproject\.toml"):
        buildpack().detect()


def test_a_requirements_file_in_another_encoding_is_left_to_pip() -> None:
    Path("requirements.txt").write_bytes("numpy  # caf\xe9".encode("latin-1"))
    assert not buildpack().detect()


def test_a_requirements_file_of_windows_is_read() -> None:
    Path("requirements.txt").write_bytes("numpy\r\n".encode("utf-16"))
    assert buildpack().detect()
    assert "COPY --chown=1000:1000 src/requirements.txt ${REPO_DIR}/requirements.txt" in dockerfile()


@pytest.mark.parametrize(
    "path",
    [
        "requirements.txt",
        "runtime.txt",
        "apt.txt",
        "pyproject.toml",
        "binder/apt.txt",
        "environment.yml",
        "postBuild",
    ],
)
def test_a_link_that_leaves_the_repository_is_an_error_and_is_not_read(path: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("python-3.11-the-secret")
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).symlink_to(secret)
    with pytest.raises(
        uv_detect.InvalidRepository, match="symbolic link to a place outside the repository"
    ) as caught:
        buildpack().detect()
    assert "the-secret" not in str(caught.value)


def test_a_binder_folder_that_is_a_link_out_of_the_repository_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Path("binder").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(uv_detect.InvalidRepository, match="symbolic link to a place outside the repository"):
        buildpack().detect()


def test_a_linked_requirements_file_inside_the_repository_is_installed_where_its_lines_hold() -> None:
    write("environments/base.txt", "numpy")
    Path("requirements.txt").symlink_to("environments/base.txt")
    assert buildpack().detect()
    assert before_copy(dockerfile(), "-r requirements.txt") is False


@pytest.mark.parametrize(
    "line",
    [
        "numpy",
        "numpy==2.0 ; python_version >= '3.9'  # why",
        "numpy[extra]>=1,<3",
        "numpy==2.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11",
        "x @ https://example.org/x.whl",
        "x @ git+https://example.org/x.git@main#egg=x",
        "https://example.org/x.whl",
        "--extra-index-url https://example.org/simple",
        "--index-url=https://example.org/simple",
        "-i https://example.org/simple",
        "-f https://example.org/wheels",
        "--pre",
        "# ./only-a-comment",
    ],
)
def test_a_line_about_an_index_lets_the_file_be_installed_before_the_copy(line: str) -> None:
    assert uv_requirements.is_independent(f"first\n{line}\nlast\n")


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "-e./pkg",
        "--editable=.",
        ".",
        ".[extra]",
        "./pkg",
        "../pkg",
        "pkg/",
        "wheels/x-1.0-py3-none-any.whl",
        "file:./pkg",
        "file:///home/jovyan/pkg",
        "x @ file:///home/jovyan/pkg",
        "x @ ./pkg",
        "-r other.txt",
        "-rother.txt",
        "--requirement other.txt",
        "-c constraints.txt",
        "--constraint=constraints.txt",
        "-f wheels",
        "--find-links=./wheels",
        "--index-url file:///home/jovyan/index",
        "--some-future-option other.txt",
        "numpy --hash=sha256:00 -r other.txt",
    ],
)
def test_a_line_about_the_repository_is_installed_after_the_copy(line: str) -> None:
    assert not uv_requirements.is_independent(f"first\n{line}\nlast\n")


@given(st.text())
def test_any_text_gets_an_answer(content: str) -> None:
    assert uv_requirements.is_independent(content) in (True, False)
    line = uv_requirements.unsupported_line(content)
    assert line is None or line.strip()


@pytest.mark.parametrize(
    "line",
    [
        "x @ hg+https://example.org/x",
        "svn+https://example.org/x#egg=x",
        "-e git+https://example.org/x#egg=x",
        "x --global-option=build",
    ],
)
def test_a_line_that_only_pip_takes_is_found(line: str) -> None:
    assert uv_requirements.unsupported_line(f"first\n{line}\n") == line


@pytest.mark.parametrize("line", ["-e .", "-e file:///home/jovyan", "x @ git+https://example.org/x"])
def test_a_line_that_uv_takes_is_not_refused(line: str) -> None:
    assert uv_requirements.unsupported_line(line) is None


def before_copy(rendered: str, step: str) -> bool:
    """Tell whether `step` stands before the copy of the repository; both have to be there."""
    return rendered.index(step) < rendered.index("COPY --chown=1000:1000 src/ ${REPO_DIR}/")


def test_packages_are_installed_before_the_copy_and_apt_before_the_requirements_file() -> None:
    write("requirements.txt", "numpy")
    write("apt.txt", "hello")
    rendered = dockerfile()
    assert before_copy(rendered, "-r requirements.txt")
    apt, requirements = (
        rendered.index("--no-install-recommends hello"),
        rendered.index("src/requirements.txt"),
    )
    assert apt < requirements


def test_local_requirements_and_the_package_itself_are_installed_after_the_copy_in_pips_order() -> None:
    write("requirements.txt", "-r more.txt")
    write("pyproject.toml", PACKAGE)
    rendered = dockerfile()
    assert not before_copy(rendered, "-r requirements.txt")
    assert rendered.index("-r requirements.txt") < rendered.index("--compile-bytecode .\n")
    assert "src/requirements.txt" not in rendered


def test_the_layer_that_all_repositories_share_is_the_same_for_each_and_has_no_cache() -> None:
    write("requirements.txt", "numpy")
    write("apt.txt", "hello")
    first = dockerfile(cache_id="uv-one").partition("rm -r /tmp/fast-lane")[0]
    Path("requirements.txt").unlink()
    Path("apt.txt").unlink()
    assert dockerfile(cache_id="uv-two").partition("rm -r /tmp/fast-lane")[0] == first
    assert "type=cache" not in first


def test_the_cache_is_mounted_where_it_has_a_name_and_nowhere_else() -> None:
    write("requirements.txt", "numpy")
    assert f"--mount=type=cache,id={CACHE},target=/opt/uv-cache,uid=1000,gid=1000" in dockerfile()
    assert "type=cache" not in dockerfile(cache_id=None)


def test_the_content_of_a_requirements_file_never_reaches_the_dockerfile() -> None:
    write("requirements.txt", 'numpy\n$(touch /evil) `id` "; rm -rf /" \\\nRUN evil\n')
    write("runtime.txt", "python-3.11")
    assert "evil" not in dockerfile()


def test_the_engines_output_never_holds_the_caches_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*args: Any, **kwargs: Any) -> Iterator[str]:
        yield f"#7 [5/7] RUN --mount=type=cache,id={CACHE},target=/opt/uv-cache uv pip install\n"
        yield "#7 0.5 Installed 1 package\n"

    monkeypatch.setattr("repo2docker.buildpacks.base.BuildPack.build", build)
    output = list(buildpack().build(None, "image", 0, {}, [], {}))
    assert output[0] == "#7 [5/7] RUN --mount=type=cache,id=***,target=/opt/uv-cache uv pip install\n"
    assert output[1] == "#7 0.5 Installed 1 package\n"


def test_a_caches_id_is_the_repositorys_and_the_keys_alone() -> None:
    key, other = b"k" * 32, b"o" * 32
    assert cache_id(key, "Org/Repo") == cache_id(key, "org/repo")
    assert len({cache_id(key, "org/repo"), cache_id(key, "org/repo2"), cache_id(other, "org/repo")}) == 3
    assert re.fullmatch(r"uv-[0-9a-f]{64}", cache_id(key, "org/repo"))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        cache_id(b"short", "org/repo")


def test_only_a_repositorys_own_branches_and_tags_share_its_cache(tmp_path: Path) -> None:
    context = BuilderContext.of(BuilderSettings(data_dir=tmp_path), {})
    context.workspaces.close()

    def cache(ref: str, commit: str = "a" * 40) -> str:
        return context.cache_id("org/repo", ref, commit)

    shared = cache("refs/heads/main")
    assert shared == cache("refs/heads/dev", "b" * 40) == cache("refs/tags/v1")
    # Whoever can open a pull request or name a fork's commit must not put packages into it.
    others = [cache("refs/pull/1/head"), cache("refs/pull/2/head"), cache(""), cache("", "b" * 40)]
    assert len({shared, *others}) == 5
    assert cache("refs/pull/1/head", "b" * 40) == others[0]
