"""What a person may choose: out of the form, a link and the REST API, where anybody may have written anything."""

import json
import re
from typing import Any

import pytest

from repo2hub_launcher.dockerspawner import form, permalink
from repo2hub_launcher.settings import Resources, Settings
from repo2hub_launcher.spawning import user_options
from repo2hub_launcher.spawning.user_options import Choice, InvalidOptions

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SETTINGS = Settings(
    service_url="http://127.0.0.1:8585/",
    fixed_images={"Data science": "data-science:1"},
    resources={"Small": Resources(2**30, 0.5), "Large": Resources(None, 4.0)},
)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ({"choice": ["fixed:Data science"]}, {"fixed": "Data science"}),
        ({"choice": ["build"], "repo": ["a/b"], "ref": [""]}, {"repo": "a/b"}),
        (
            {"choice": ["build"], "repo": ["a/b"], "ref": ["x"], "commit": [COMMIT], "resources": ["Small"]},
            {"repo": "a/b", "ref": "x", "commit": COMMIT, "resources": "Small"},
        ),
        (
            {"choice": ['ready:{"repo": "a/b", "ref": "x", "commit": "c"}'], "repo": ["not/this"]},
            {"repo": "a/b", "ref": "x", "commit": "c"},
        ),
        (
            {"choice": ['ready:{"repo": "a/b", "ref": "", "commit": "c"}']},
            {"repo": "a/b", "ref": "c", "commit": "c"},
        ),
    ],
)
def test_a_form_says_what_counts(sent: dict[str, list[Any]], meant: dict[str, str]) -> None:
    assert user_options.options_from_form(sent) == meant


@pytest.mark.parametrize(
    "choice", ["", "image:x", "ready:", "ready:[1]", "ready:{}", "ready:" + "[" * 100_000]
)
def test_a_form_that_says_nothing_that_counts_is_refused(choice: str) -> None:
    with pytest.raises(InvalidOptions):
        user_options.options_from_form({"choice": [choice]})


def test_no_form_can_name_an_image() -> None:
    sent = {"choice": ["build"], "repo": ["a/b"], "image": ["evil:1"], "fixed": ["evil:1"]}
    assert user_options.options_from_form(sent) == {"repo": "a/b"}


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        ({"repo": "Org/repo"}, Choice("Org/repo", "HEAD", resources="Small")),
        (
            {"repo": " https://github.com/Org/repo.git/ ", "ref": " a/b "},
            Choice("Org/repo", "a/b", resources="Small"),
        ),
        ({"repo": "github.com/Org/repo"}, Choice("Org/repo", resources="Small")),
        ({"repo": "ada_company/repo"}, Choice("ada_company/repo", resources="Small")),
        (
            {"repo": "o/r", "ref": "v1", "commit": COMMIT, "resources": "Large"},
            Choice("o/r", "v1", COMMIT, resources="Large"),
        ),
        ({"fixed": "Data science"}, Choice(fixed="Data science", resources="Small")),
    ],
)
def test_options_are_a_choice(given: dict[str, Any], choice: Choice) -> None:
    assert user_options.parse_options(given, SETTINGS) == choice


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "Choose an image"),
        ({"image": "evil:1"}, "no option image"),
        ({"repo": "a/b", "image": "evil:1"}, "no option image"),
        ({"repo": ["a/b"]}, "write a text"),
        ({"repo": "a/b", "fixed": "Data science"}, "not both"),
        ({"fixed": "evil:1"}, "does not offer that image"),
        ({"repo": "a/b", "resources": "Huge"}, "does not offer that size"),
        ({"repo": "a/b", "commit": "main"}, "40 hexadecimal"),
        ({"repo": "a"}, "org/repo"),
        ({"repo": "a/.."}, "org/repo"),
        ({"repo": "a/b/c"}, "org/repo"),
        ({"repo": "a/b?x"}, "org/repo"),
        ({"repo": "https://[/a/b"}, "org/repo"),
        ({"repo": "https://gitlab.example/a/b"}, "org/repo"),
        ({"repo": "a/b", "ref": "a b"}, "branch"),
        ({"repo": "a/b", "ref": "a\x1b[2J"}, "branch"),
        ({"repo": "a/b", "ref": "a" * 301}, "branch"),
    ],
)
def test_what_cannot_be_started_is_refused_in_words(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidOptions, match=says):
        user_options.parse_options(given, SETTINGS)


def test_without_sizes_there_is_no_size() -> None:
    plain = Settings(service_url="http://127.0.0.1:8585/")
    assert user_options.parse_options({"repo": "a/b", "resources": "Small"}, plain).resources is None


class Request:
    """What the hub's handler has of a request."""

    def __init__(self, method: str, **query: str) -> None:
        self.method = method
        self.query_arguments = {name.replace("opt_", "opt-"): [v.encode()] for name, v in query.items()}
        self.arguments = dict(self.query_arguments)
        self.request = self


@pytest.mark.parametrize(
    "query", [{"repo": "a/b", "ref": "x"}, {"opt_repo": "a/b", "opt_ref": "x"}, {"utm_source": "mail"}]
)
def test_a_link_starts_nothing(query: dict[str, str]) -> None:
    for more in ({}, {"autostart": "true"}):
        handler = Request("GET", **query, **more, next="/hub/user-redirect/lab")
        permalink.prevent_autostart(handler, allow_autostart=False)
        assert list(handler.query_arguments) == ["next"]
    handler = Request("GET", **query)
    permalink.prevent_autostart(handler, allow_autostart=True)
    assert handler.query_arguments == {}, "allowed, but the link did not ask for it"


def test_a_link_starts_where_the_admin_allows_it_and_it_asks_for_it() -> None:
    handler = Request("GET", repo="a/b", autostart="true")
    permalink.prevent_autostart(handler, allow_autostart=True)
    assert handler.query_arguments["repo"] == [b"a/b"]


def test_what_a_link_fills_in_is_read_either_way() -> None:
    assert permalink.form_fields(Request("GET", opt_repo="a/b", ref="x").arguments) == {
        "repo": "a/b",
        "ref": "x",
    }
    assert (
        permalink.form_fields({"repo": [b"\xff" * 1000]})["repo"] == "\ufffd" * user_options.MAX_TEXT_LENGTH
    )


HOSTILE = "</script><script>alert(1)</script>\"'<img onerror=x>"


def test_nothing_that_a_link_fills_in_becomes_html() -> None:
    page = form.render_form(
        SETTINGS, link_fields={"repo": HOSTILE, "ref": HOSTILE, "resources": HOSTILE}, last_options={}
    )
    assert (
        "<script>alert" not in page
        and "<img" not in page
        and "</script><" not in page.replace("</script>\n<", "")
    )


def test_nothing_that_an_admin_names_becomes_html() -> None:
    settings = Settings(
        "http://127.0.0.1:1/", fixed_images={HOSTILE: HOSTILE}, resources={HOSTILE: Resources(None, 1.0)}
    )
    page = form.render_form(settings, link_fields={}, last_options={}, note=HOSTILE)
    assert "<script>alert" not in page and "<img" not in page


def test_the_last_choice_is_chosen_again_and_a_link_wins_over_it() -> None:
    last_options = {"repo": "a/b", "ref": "x", "resources": "Large"}
    again = form.render_form(SETTINGS, link_fields={}, last_options=last_options)
    assert config_of(again)["repo"] == "a/b"
    assert 'value="Large" checked' in again
    linked = form.render_form(SETTINGS, link_fields={"repo": "c/d"}, last_options=last_options)
    assert config_of(linked) == {"service": "binder", "repo": "c/d", "ref": "", "link": True}


@pytest.mark.parametrize(("ref", "shown"), [("HEAD", ""), ("fix/HEADER", "fix/HEADER"), ("AHEAD", "AHEAD")])
def test_the_field_of_the_ref_is_empty_for_head_and_for_no_other(ref: str, shown: str) -> None:
    page = form.render_form(SETTINGS, link_fields={"repo": "a/b", "ref": ref}, last_options={})
    (field,) = re.findall(r'<input [^>]*id="r2h-ref"[^>]*>', page)
    assert f'value="{shown}"' in field


def test_the_hubs_first_image_is_chosen_by_whoever_never_chose() -> None:
    assert 'value="fixed:Data science" checked' in form.render_form(SETTINGS, link_fields={}, last_options={})
    assert 'value="fixed:Data science" checked' not in form.render_form(
        SETTINGS, link_fields={"repo": "a/b"}, last_options={}
    )


def config_of(page: str) -> Any:
    start = page.index('id="r2h-config">') + len('id="r2h-config">')
    return json.loads(page[start : page.index("</script>", start)])


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (Resources(2 * 2**30, 1.0), "2 GB memory, 1 CPU"),
        (Resources(512 * 2**20, 0.5), "0.5 GB memory, 0.5 CPU"),
        (Resources(None, 4.0), "4 CPUs"),
        (Resources(None, None), "no limit"),
    ],
)
def test_a_size_is_described(size: Resources, words: str) -> None:
    assert form.describe_resources(size) == words
