"""What a raw path asks for."""

import pytest

from webhook.binderhub.spec import Spec, parse_provider_spec, raw_path
from webhook.http.errors import HttpError

URL = "https%3A%2F%2Fgitlab.com%2Fgroup%2Fproject"


@pytest.mark.parametrize(
    ("raw", "spec"),
    [
        ("gh/org/repo/main", ("org/repo", "main")),
        ("gh/org/repo/feature/x", ("org/repo", "feature/x")),
        ("gh/org/repo/feature%2Fx/", ("org/repo", "feature/x")),
        ("gh/org%2Frepo/main", ("org/repo", "main")),
        ("gh/org/repo/100%25", ("org/repo", "100%")),
        ("gh/org/repo", ("org/repo", "HEAD")),
        ("gh/org/repo.git/", ("org/repo", "HEAD")),
        (f"git/{URL}/main", ("https://gitlab.com/group/project", "main")),
        (f"git/{URL}.git/feature%2Fx", ("https://gitlab.com/group/project", "feature/x")),
        (f"git/{URL}/feature/x", ("https://gitlab.com/group/project", "feature/x")),
        (f"git/{URL}", ("https://gitlab.com/group/project", "HEAD")),
    ],
)
def test_a_spec_is_read_as_binderhub_reads_it(raw: str, spec: tuple[str, str]) -> None:
    assert parse_provider_spec(raw, git_hosts=["gitlab.com"], github_url="https://github.com") == Spec(*spec)


@pytest.mark.parametrize("provider", ["gl", "gist", "zenodo", "", "GH", "<script>"])
def test_another_provider_is_refused_with_those_that_there_are(provider: str) -> None:
    with pytest.raises(HttpError, match="gh/<org>/<repo>/<ref>") as caught:
        parse_provider_spec(f"{provider}/a/b/c", git_hosts=[], github_url="https://github.com")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("raw_uri", "path_info", "expected"),
    [
        ("/build/gh/a/b/c%2Fd?build_only=true", "/build/gh/a/b/c/d", "gh/a/b/c%2Fd"),
        ("http://hub.example/build/gh/a/b/c%2Fd", "/build/gh/a/b/c/d", "gh/a/b/c%2Fd"),
        (None, "/build/gh/a/b/c d", "gh/a/b/c%20d"),
        ("/elsewhere/gh/x", "/build/gh/a/b/c", "gh/a/b/c"),
        ("/build/gh/x/y/z", "/build/gh/a/b/c", "gh/a/b/c"),
        ("/build/gh/a/b/%C3%BC", "/build/gh/a/b/\xc3\xbc", "gh/a/b/%C3%BC"),
    ],
)
def test_the_path_is_taken_as_it_was_sent_where_that_is_what_was_routed(
    raw_uri: str | None, path_info: str, expected: str
) -> None:
    environ = {"PATH_INFO": path_info} | ({"RAW_URI": raw_uri} if raw_uri else {})
    assert raw_path(environ, "/build/") == expected
