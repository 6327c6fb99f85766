"""Which checkouts are refused before anything reads them."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import UserError
from builder.source.validation import printable, validate_checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a file, a folder and a .git, beside something that it must not reach."""
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "checkout"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "file").write_text("x" * 100)
    (folder / ".git").mkdir()
    (folder / ".git" / "pack").write_text("y" * 10_000)
    return folder


def check(folder: Path, *, max_bytes: int = 10**6, max_files: int = 100) -> None:
    validate_checkout(folder, max_bytes=max_bytes, max_files=max_files)


def refusal(folder: Path, **limits: int) -> UserError:
    with pytest.raises(UserError) as caught:
        check(folder, **limits)
    assert caught.value.message.isprintable()
    return caught.value


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("link", "file"),
        ("link", "./sub/../file"),
        ("sub/link", "../file"),
        ("sub/deep/link", "../../sub"),
        ("link", "no/such/file"),
        ("link", "."),
        ("link", "link"),
        ("sub/link", ".."),
        ("link", "file/below"),
        ("..link", "..."),
    ],
)
def test_links_inside_are_fine(checkout: Path, name: str, target: str) -> None:
    (checkout / name).symlink_to(target)
    check(checkout)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("link", "/etc/passwd"),
        ("link", "/no/such/file"),
        ("link", "../secret"),
        ("link", ".."),
        ("link", "../checkout/file"),
        ("sub/deep/link", "../../../secret"),
        ("sub/link", "deep/../../../secret"),
        ("link", "../no/such/file"),
        ("link", "sub//..//..//secret"),
        ("link", "no/such/../../../secret"),
    ],
)
def test_links_that_leave_are_refused_whatever_they_lead_to(checkout: Path, name: str, target: str) -> None:
    (checkout / name).symlink_to(target)
    error = refusal(checkout)
    assert error.cause == "symlink_outside"
    assert name in error.message and target in error.message


def test_an_absolute_link_into_the_checkout_is_refused_too(checkout: Path) -> None:
    (checkout / "link").symlink_to(checkout / "file")
    assert refusal(checkout).cause == "symlink_outside"


def test_a_link_that_leaves_through_another_link_is_refused(checkout: Path) -> None:
    # Read word by word "up/../secret" stays inside; the kernel, following `up`, does not.
    (checkout / "sub" / "deep" / "up").symlink_to("../..")
    (checkout / "link").symlink_to("sub/deep/up/../secret")
    assert "link" in refusal(checkout).message


def test_a_link_below_a_linked_folder_is_judged_where_it_really_is(checkout: Path) -> None:
    (checkout / "alias").symlink_to("sub/deep")
    (checkout / "sub" / "deep" / "link").symlink_to("../../file")
    check(checkout)
    (checkout / "out").symlink_to("alias/../../../secret")
    assert refusal(checkout).cause == "symlink_outside"


def test_two_links_in_a_circle_are_harmless(checkout: Path) -> None:
    (checkout / "a").symlink_to("b/x")
    (checkout / "b").symlink_to("a/y")
    check(checkout)


@given(st.lists(st.sampled_from(["..", "sub", "deep", "up", "file", ".", "gone"]), min_size=1, max_size=8))
def test_what_is_accepted_is_never_opened_outside(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    top = tmp_path_factory.mktemp("vet")
    folder = top / "checkout"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "file").write_text("x")
    (folder / "sub" / "deep" / "up").symlink_to("../..")
    (folder / "sub" / "link").symlink_to("/".join(parts))
    try:
        check(folder)
    except UserError:
        return
    where = Path(os.path.realpath(folder / "sub" / "link"))
    assert where == folder or folder in where.parents


def test_a_file_that_is_no_file_is_refused(checkout: Path) -> None:
    os.mkfifo(checkout / "sub" / "pipe")
    error = refusal(checkout)
    assert error.cause == "special_file" and "sub/pipe" in error.message


def test_the_size_is_limited_and_git_does_not_count(checkout: Path) -> None:
    check(checkout, max_bytes=100)
    error = refusal(checkout, max_bytes=99)
    assert error.cause == "too_large"


def test_the_number_of_files_is_limited_and_git_does_not_count(checkout: Path) -> None:
    check(checkout, max_files=3)
    error = refusal(checkout, max_files=2)
    assert error.cause == "too_many_files" and "2 files" in error.message


def test_two_binder_folders_are_refused(checkout: Path) -> None:
    (checkout / "binder").mkdir()
    check(checkout)
    (checkout / ".binder").mkdir()
    error = refusal(checkout)
    assert error.cause == "both_binder_folders" and ".binder/" in error.message


def test_a_hostile_name_is_shown_harmless(checkout: Path) -> None:
    name = os.fsdecode(b"a\x1b[2J\n\xff\xe2\x80\xaeb")
    (checkout / name).symlink_to("/etc/passwd")
    message = refusal(checkout).message
    assert "a\\x1b[2J\\n" in message and "\x1b" not in message and "\u202e" not in message


@given(st.text())
def test_any_name_can_be_shown(name: str) -> None:
    shown = printable(name)
    assert shown.isprintable() and len(shown) <= 200
    shown.encode()
