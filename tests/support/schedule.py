"""The order in which pytest-xdist hands out tests, so that no core waits at the end of a run.

A module of tests/acceptance runs in one worker, because its tests share a hub, a service or a browser, and the
modules that take longest start first. Other modules that start a service once have an `xdist_group` mark of their
own. The remaining tests are short: they fill the time in which an acceptance test waits for the engine.
"""

import pytest

_LONGEST_FIRST = (
    "launcher/test_dockerspawner.py",
    "images/test_uv_images.py",
    "pages/test_pages.py",
    "launcher/test_fancy_profiles.py",
    "builds/test_reports.py",
    "builds/test_stopping.py",
    "images/test_prune.py",
    "builds/test_engine_trouble.py",
    "hub/test_hub_kinds.py",
    "deployment/test_demo.py",
    "deployment/test_builder_image.py",
    "images/test_base_image.py",
)


def _rank(item: pytest.Item) -> int:
    if not is_acceptance(item):
        return len(_LONGEST_FIRST) + (1 if item.get_closest_marker("xdist_group") else 2)
    path = item.path.as_posix()
    found = (rank for rank, ending in enumerate(_LONGEST_FIRST) if path.endswith(ending))
    return next(found, len(_LONGEST_FIRST))


def is_acceptance(item: pytest.Item) -> bool:
    """Tell whether a test is one of tests/acceptance."""
    return "acceptance" in item.path.parts


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in a hook of its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group and order the tests; an acceptance test that fails is run once more, and listed at the end."""
    for item in items:
        if is_acceptance(item):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
            item.add_marker(pytest.mark.flaky(reruns=1))
    items.sort(key=_rank)
