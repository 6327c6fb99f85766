"""The repository that is built again and again: the bundled example, with a notebook that can be changed."""

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer

NAME = "org/hello-python"
_EXAMPLE_FOLDER = Path(__file__).parent.parent / "examples" / "hello-python"


def create(github: GitServer, name: str = NAME) -> tuple[BareRepository, str]:
    """Make the repository and return it with its first commit."""
    repository = github.create(name)
    files: dict[str, str | bytes | None] = {
        path.name: path.read_bytes() for path in _EXAMPLE_FOLDER.iterdir()
    }
    return repository, repository.commit(files, message="Begin", when=datetime.now(UTC))


def change_notebook(repository: BareRepository) -> str:
    """Commit a change that touches nothing but a notebook, and return the commit."""
    cell = {"cell_type": "markdown", "metadata": {}, "source": [uuid.uuid4().hex]}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    files = {"notes.ipynb": json.dumps(notebook)}
    return repository.commit(files, message="Write", when=datetime.now(UTC))
