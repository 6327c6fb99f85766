"""The example that the demo pushes."""

from demo.example import NOTEBOOK, change_notebook, read_files


def test_the_change_is_one_of_the_notebook_only() -> None:
    files = read_files()
    changed = change_notebook(files)
    assert set(changed) == {NOTEBOOK} < set(files)
    assert changed[NOTEBOOK] != files[NOTEBOOK]
