"""The repository that the demo pushes: the example of the checkout."""

from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOK = "sunflower.ipynb"
REPOSITORY = "example/hello-python"


def read_files(folder: Path = EXAMPLES / "hello-python") -> dict[str, bytes]:
    """Return the files of the example by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def change_notebook(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the notebook with a change, as the only file of another commit."""
    return {NOTEBOOK: files[NOTEBOOK].replace(b"seeds = 200", b"seeds = 500")}
