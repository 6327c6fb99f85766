"""The repository of the benchmarks is the example of the checkout."""

from bench.inputs import example_repository
from demo.github.git_server import GitServer


def test_a_changed_notebook_is_a_new_commit(github: GitServer) -> None:
    repository, first = example_repository.create(github)
    assert repository.head() == first
    assert example_repository.change_notebook(repository) == repository.head() != first
