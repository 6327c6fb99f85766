"""Explanations of containers that do not become servers."""

import pytest

from repo2hub_launcher.dockerspawner import start_failures

HOME = ["PATH=/bin", "REPO_DIR=/home/jovyan", "R2D_ENTRYPOINT=/home/jovyan/start"]


@pytest.mark.parametrize(
    ("mounts", "environment", "hidden"),
    [
        (["/home/jovyan"], HOME, start_failures.HiddenPaths("/home/jovyan", start=True)),
        (["/home/jovyan"], HOME[:2], start_failures.HiddenPaths("/home/jovyan")),
        (["/home"], HOME[:2], start_failures.HiddenPaths("/home")),
        (["/home/jovyan/work"], HOME, start_failures.HiddenPaths()),
        (
            ["/home/jovyan"],
            ["REPO_DIR=/srv/repo", "R2D_ENTRYPOINT=/srv/repo/start"],
            start_failures.HiddenPaths(),
        ),
        ([], HOME, start_failures.HiddenPaths()),
    ],
)
def test_a_volume_can_hide_the_repository_and_the_start_script(
    mounts: list[str], environment: list[str], hidden: start_failures.HiddenPaths
) -> None:
    assert start_failures.find_hidden_paths(mounts, environment) == hidden


def test_an_image_without_jupyterhub_singleuser_is_explained() -> None:
    command = ["jupyterhub-singleuser"]
    refusal = 'OCI runtime create failed: exec: "jupyterhub-singleuser": executable file not found in $PATH'
    assert "jupyterhub-singleuser is not installed" in (
        start_failures.explain_start_error(refusal, command) or ""
    )
    assert start_failures.explain_start_error("port is already allocated", command) is None
    log = "/usr/local/bin/repo2docker-entrypoint: line 18: exec: jupyterhub-singleuser: not found\n"
    assert "jupyterhub-singleuser is not installed" in start_failures.explain_exit(
        "ExitCode=127", log, command
    )


def test_a_server_that_exits_is_explained_by_the_end_of_its_log() -> None:
    explanation = start_failures.explain_exit(
        "ExitCode=1, Error='', FinishedAt=x", "Traceback\nKeyError: 'A'\n\n", ["x"]
    )
    assert "KeyError: 'A'" in explanation
    assert "its log is empty" in start_failures.explain_exit("1", "", ["x"])
