"""Temporary tags that builds left because they ended early."""

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from builder.engine.docker_client import Engine
from builder.engine.temporary_tags import TEMPORARY_REPOSITORY, TemporaryTags, tag_prefix
from builder.workspace import Workspaces

pytestmark = pytest.mark.engine
KEY, OTHER_KEY = b"k" * 32, b"o" * 32


@pytest.fixture
def workspaces(tmp_path: Path) -> Iterator[Workspaces]:
    workspaces = Workspaces(tmp_path)
    yield workspaces
    workspaces.close()


@pytest.fixture
def tag(engine: docker.DockerClient, base_image: str) -> Iterator[list[str]]:
    """Names that are removed at the end; `tag.append` alone makes no image."""
    names: list[str] = []
    yield names
    for name in names:
        if engine.images.list(name):
            engine.api.remove_image(name)


def bring(engine: docker.DockerClient, base_image: str, name: str, names: list[str]) -> None:
    """Let the engine have an image of that name, as it does when it finishes a build."""
    names.append(name)
    assert engine.api.tag(base_image, *name.split(":"))


def test_an_image_that_appears_after_its_build_was_stopped_is_removed(
    workspaces: Workspaces, engine: docker.DockerClient, base_image: str, tag: list[str]
) -> None:
    names = TemporaryTags(workspaces, KEY)
    with pytest.raises(KeyboardInterrupt), names.reserve(7, 1) as late:
        raise KeyboardInterrupt
    assert late.startswith(tag_prefix(KEY))
    bring(engine, base_image, late, tag)
    with names.reserve(8, 1) as held, Engine() as client:
        bring(engine, base_image, held, tag)
        assert names.needs_sweep()
        assert names.sweep(client) == [late]
        assert engine.images.list(held) and not engine.images.list(late)


def test_an_image_that_appears_during_the_next_build_is_removed_after_it(
    workspaces: Workspaces, engine: docker.DockerClient, base_image: str, tag: list[str]
) -> None:
    now = 1000.0
    names = TemporaryTags(workspaces, KEY, clock=lambda: now)
    with Engine() as client:
        with pytest.raises(KeyboardInterrupt), names.reserve(7, 1) as late:
            raise KeyboardInterrupt
        assert names.sweep(client) == [], "the engine has not finished it yet"
        with names.reserve(8, 1):
            bring(engine, base_image, late, tag)
            now += 300
        assert names.needs_sweep()
        assert names.sweep(client) == [late]
        assert not names.needs_sweep()


def test_tags_of_a_dead_builder_are_removed_and_those_in_use_stay(
    workspaces: Workspaces, engine: docker.DockerClient, base_image: str, tag: list[str], tmp_path: Path
) -> None:
    dead, living = Workspaces(tmp_path), Workspaces(tmp_path)
    elsewhere = Workspaces(tmp_path / "elsewhere")
    with (
        TemporaryTags(dead, KEY).reserve(1, 1) as left,
        TemporaryTags(living, KEY).reserve(2, 1) as building,
        TemporaryTags(elsewhere, OTHER_KEY).reserve(3, 1) as foreign,
    ):
        for name in (left, building, foreign):
            assert name.startswith(f"{TEMPORARY_REPOSITORY}:")
            bring(engine, base_image, name, tag)
    dead.close()  # its lock is free, as after a kill
    with Engine() as client:
        assert TemporaryTags(workspaces, KEY).sweep(client) == [left]
    assert engine.images.list(building) and engine.images.list(foreign)
    living.close()
    elsewhere.close()
