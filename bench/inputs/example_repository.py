"""The repository that is built repeatedly: the example of the checkout, with a notebook that can be changed."""

import json
import uuid
from datetime import UTC, datetime

from demo import example
from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer

NAME = "org/hello-python"


def create(github: GitServer, name: str = NAME) -> tuple[BareRepository, str]:
    """Create the repository and return it with its first commit."""
    repository = github.create(name)
    return repository, repository.commit(example.read_files(), message="Begin", when=datetime.now(UTC))


def change_notebook(repository: BareRepository) -> str:
    """Commit a change of one notebook, and return the commit."""
    cell = {"cell_type": "markdown", "metadata": {}, "source": [uuid.uuid4().hex]}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    files = {"notes.ipynb": json.dumps(notebook)}
    return repository.commit(files, message="Change a notebook", when=datetime.now(UTC))
