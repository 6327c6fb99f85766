"""Runs BinderHub's own remote tests against this service: `python -m tests.acceptance.binderhub.binderhub_suite`.

BinderHub is on no package index; REPO2HUB_BINDERHUB names a checkout of it, and REPO2HUB_BINDERHUB_PYTHON a Python
that has its requirements (CONTRIBUTING.md says which). The repositories that its tests build are at GitHub; here a
stand-in serves two of their names, with a Dockerfile that builds and one that does not.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from demo.github.git_server import GitServer
from tests.support.images import make_base_image
from tests.support.service import Service

SELECTED = "check_accept or (test_build_only and not fail) or build_fail"


def main() -> int:
    checkout, python = os.environ.get("REPO2HUB_BINDERHUB"), os.environ.get("REPO2HUB_BINDERHUB_PYTHON")
    if not checkout or not python:
        print("Set REPO2HUB_BINDERHUB and REPO2HUB_BINDERHUB_PYTHON; see CONTRIBUTING.md.", file=sys.stderr)
        return 2
    base_image = os.environ.get("REPO2HUB_BASE_IMAGE") or make_base_image()
    with tempfile.TemporaryDirectory() as folder, GitServer(Path(folder) / "github") as github:
        service = Service(Path(folder) / "service", github.url, base_image)
        good = github.create("binderhub-ci-repos/cached-minimal-dockerfile")
        good.commit(service.dockerfile("true"))
        bad = github.create("binderhub-ci-repos/minimal-dockerfile")
        bad.commit(service.dockerfile("false"), branch="failed")
        service.start_all()
        try:
            return _run(checkout, python, service.url)
        finally:
            service.stop_all()


def _run(checkout: str, python: str, url: str) -> int:
    argv = [python, "-m", "pytest", "-o", "addopts=", "-v", "binderhub/tests/test_build.py", "-k", SELECTED]
    return subprocess.run(argv, cwd=checkout, env=os.environ | {"BINDER_URL": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
