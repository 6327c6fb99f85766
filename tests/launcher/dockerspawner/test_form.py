"""The form: what is selected, and that nothing in it becomes HTML."""

import json
import re
from typing import Any

import pytest

from repo2hub_launcher.dockerspawner import form
from repo2hub_launcher.settings import Resources, Settings

SETTINGS = Settings(
    service_url="http://127.0.0.1:8585/",
    fixed_images={"Data science": "data-science:1"},
    resources={"Small": Resources(2**30, 0.5), "Large": Resources(None, 4.0)},
)

HOSTILE = "</script><script>alert(1)</script>\"'<img onerror=x>"


def test_fields_of_a_link_are_escaped() -> None:
    page = form.render_form(
        SETTINGS, link_fields={"repo": HOSTILE, "ref": HOSTILE, "resources": HOSTILE}, last_options={}
    )
    assert (
        "<script>alert" not in page
        and "<img" not in page
        and "</script><" not in page.replace("</script>\n<", "")
    )


def test_names_of_the_admin_are_escaped() -> None:
    settings = Settings(
        "http://127.0.0.1:1/", fixed_images={HOSTILE: HOSTILE}, resources={HOSTILE: Resources(None, 1.0)}
    )
    page = form.render_form(settings, link_fields={}, last_options={}, note=HOSTILE)
    assert "<script>alert" not in page and "<img" not in page


def test_the_last_choice_is_selected_unless_there_is_a_link() -> None:
    last_options = {"repo": "a/b", "ref": "x", "resources": "Large"}
    repeated = form.render_form(SETTINGS, link_fields={}, last_options=last_options)
    assert config_of(repeated)["repo"] == "a/b"
    assert 'value="Large" checked' in repeated
    linked = form.render_form(SETTINGS, link_fields={"repo": "c/d"}, last_options=last_options)
    assert config_of(linked) == {"service": "binder", "repo": "c/d", "ref": "", "link": True}


@pytest.mark.parametrize(("ref", "shown"), [("HEAD", ""), ("fix/HEADER", "fix/HEADER"), ("AHEAD", "AHEAD")])
def test_the_field_of_the_ref_is_empty_only_for_head(ref: str, shown: str) -> None:
    page = form.render_form(SETTINGS, link_fields={"repo": "a/b", "ref": ref}, last_options={})
    (field,) = re.findall(r'<input [^>]*id="r2h-ref"[^>]*>', page)
    assert f'value="{shown}"' in field


def test_the_first_image_of_the_hub_is_selected_by_default() -> None:
    assert 'value="fixed:Data science" checked' in form.render_form(SETTINGS, link_fields={}, last_options={})
    assert 'value="fixed:Data science" checked' not in form.render_form(
        SETTINGS, link_fields={"repo": "a/b"}, last_options={}
    )


def config_of(page: str) -> Any:
    start = page.index('id="r2h-config">') + len('id="r2h-config">')
    return json.loads(page[start : page.index("</script>", start)])


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (Resources(2 * 2**30, 1.0), "2 GB memory, 1 CPU"),
        (Resources(512 * 2**20, 0.5), "0.5 GB memory, 0.5 CPU"),
        (Resources(None, 4.0), "4 CPUs"),
        (Resources(None, None), "no limit"),
    ],
)
def test_a_size_has_a_description(size: Resources, text: str) -> None:
    assert form.describe_resources(size) == text
