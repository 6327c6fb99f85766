"""Which tests run in one worker of pytest-xdist, and in which order, so that no core waits at the end of a run.

A module of tests/acceptance runs in one worker, because its tests share a hub, a service or a browser, and the
modules that take longest start first. So do the few other tests that share a process. The remaining tests are
short: they fill the time in which an acceptance test waits for the engine.

xdist's own `xdist_group` mark has no effect with pytest 9.2, which ignores the change that it makes to names.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_ACCEPTANCE = "tests/acceptance/"
_TOGETHER = (
    "tests/deployment/test_kubernetes_manifests.py",
    "tests/deployment/test_nginx.py",
    "tests/deployment/test_wheel.py",
    "tests/repo2hub/commands/",
    "tests/webhook/binderhub/test_npm_client.py",
    "tests/webhook/github/test_octokit_examples.py",
)
_LONGEST_FIRST = (
    "tests/acceptance/launcher/test_dockerspawner.py",
    "tests/acceptance/images/test_uv_images.py",
    "tests/acceptance/pages/test_pages.py",
    "tests/acceptance/launcher/test_fancy_profiles.py",
    "tests/acceptance/deployment/test_builder_image.py",
    "tests/acceptance/deployment/test_demo.py",
    "tests/acceptance/builds/test_stopping.py",
    "tests/acceptance/builds/test_reports.py",
    "tests/acceptance/images/test_prune.py",
    "tests/acceptance/builds/test_engine_trouble.py",
    "tests/acceptance/builds/test_failures.py",
    "tests/acceptance/hub/test_hub_kinds.py",
    "tests/acceptance/images/test_base_image.py",
    _ACCEPTANCE,
    *_TOGETHER,
)


def group_of(nodeid: str) -> str:
    """Return what a test shares its worker with: its module or folder, or nothing but itself."""
    module = nodeid.partition("::")[0]
    if module.startswith(_ACCEPTANCE):
        return module
    return next((path for path in _TOGETHER if module.startswith(path)), nodeid)


def _rank(item: pytest.Item) -> int:
    ranks = (rank for rank, path in enumerate(_LONGEST_FIRST) if item.nodeid.startswith(path))
    return next(ranks, len(_LONGEST_FIRST))


class _Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Scheduling:
    """Give the tests of a group to one worker, in the order of the collection, whatever `--dist` says."""
    config.option.loadscopereorder = False
    return _Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests; an acceptance test that fails is run once more, and listed at the end."""
    items.sort(key=_rank)
    for item in items:
        if item.nodeid.startswith(_ACCEPTANCE):
            item.add_marker(pytest.mark.flaky(reruns=1))
