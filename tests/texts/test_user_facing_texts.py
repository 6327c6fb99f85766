"""The snapshot of user-facing texts is up to date, and its collectors find each kind of text."""

from difflib import unified_diff

from tests.texts.javascript import javascript_texts
from tests.texts.python import python_texts
from tests.texts.snapshot import PATH, collect, snapshot
from tests.texts.templates import template_texts


def test_the_snapshot_is_up_to_date() -> None:
    committed, current = PATH.read_text(encoding="utf-8").splitlines(), snapshot().splitlines()
    changes = [line for line in unified_diff(committed, current, n=0, lineterm="") if line[:2] != "@@"]
    assert not changes, "\n".join(["User-facing texts changed: review them and run `make texts`.", *changes])


def test_every_kind_of_source_has_texts_in_the_snapshot() -> None:
    found = collect()
    for folder in (
        "base/",
        "webhook/access/",
        "webhook/pages/templates/",
        "webhook/pages/static/",
        "builder/logs/",
    ):
        assert any(name.startswith(folder) for name in found), folder
    contexts = {text.split(": ")[0] for texts in found.values() for text in texts}
    assert {
        "HttpError",
        "UserError",
        "InfrastructureError",
        "SettingsError",
        "ValueError",
        "--yes",
    } <= contexts
    assert {
        "SpawnRefused",
        "UsageError",
        "build --help",
        "broken",
        "_user",
        "_infra",
        "p",
        "text",
    } <= contexts


def test_an_error_is_found_with_its_placeholders_named() -> None:
    source = (
        'def get(build):\n    raise HttpError(404, "not_found", f"Build {build.id} not found. {hint()}")\n'
    )
    assert python_texts(source) == ["HttpError: Build {id} not found. {hint}"]


def test_parts_of_a_sentence_that_are_added_up_are_one_text() -> None:
    assert python_texts('x = "Try again in " + wait + " s, please."') == ["x: Try again in {wait} s, please."]
    assert python_texts('x = ("Try again "\n     "later.")') == ["x: Try again later."]


def test_an_option_and_the_help_of_a_command_are_found() -> None:
    source = '''
@click.command()
@click.option("--force", is_flag=True, help="Build although the image exists.")
def build() -> None:
    """Build a repository.

    It prints the log.
    """
'''
    assert python_texts(source) == [
        "build --help: Build a repository. It prints the log.",
        "--force: Build although the image exists.",
    ]


def test_what_the_openapi_description_says_is_found() -> None:
    source = '''
class BuildQuery(TypedDict, total=False):
    """The query of a list of builds."""

    before: Annotated[int, Field(ge=1, description="Only builds with a smaller id.")]

@operation("/builds", query=BuildQuery)
def list_builds() -> None:
    """List builds, newest first."""
'''
    assert python_texts(source) == [
        "BuildQuery type: The query of a list of builds.",
        "Field: Only builds with a smaller id.",
        "list_builds operation: List builds, newest first.",
    ]


def test_a_finding_and_a_table_of_labels_are_found() -> None:
    source = (
        'return_ = Finding("engine", level, "it does not answer", "Start the engine.")\n_WORDS = {1: "Ready"}'
    )
    assert python_texts(source) == [
        "Finding: it does not answer",
        "Finding: Start the engine.",
        "_WORDS: Ready",
    ]


def test_the_message_of_a_known_failure_is_found_and_its_pattern_is_not() -> None:
    source = '_user("cause", "step", r"not found in the registry", "Python package {package} not found.")'
    assert python_texts(source) == ["_user: Python package {package} not found."]


def test_docstrings_sql_patterns_and_events_are_not_texts() -> None:
    source = '''
"""What the module does."""
def run():
    """Run it for a while."""
    log.info("build.claimed")
    execute("SELECT a FROM b")
    re.compile("not found in the registry")
    sql = "UPDATE builds SET status = 1"
'''
    assert python_texts(source) == []


def test_a_template_shows_sentences_alternatives_and_what_screen_readers_hear() -> None:
    source = """
    {# A comment. #}
    {% for value, word in (("", "All"), ("x", "a push")) %}{{ word }}{% endfor %}
    <p>Build <a href="/x">#{{ build.id }}</a> {% if ready %}is ready{% else %}failed{% endif %}.</p>
    <input{% if on %} checked{% endif %} placeholder="org/repo" aria-label="{{ 'Why it failed' if no else '' }}">
    <style>p { color: red }</style>
    """
    assert template_texts(source) == [
        "p: Build #{id} [is ready | failed].",
        "input placeholder: org/repo",
        "value: Why it failed",
        "label: All",
        "label: a push",
    ]


def test_a_script_shows_sentences_and_labels_but_no_comments_keys_or_comparisons() -> None:
    source = """
    // A comment with "a sentence in quotes".
    say(`The build of ${repo.name} failed: ${why}.`);
    button.textContent = "Copied";
    const quotes = /["']/g;
    if (event.key === "Enter") send({ "Accept": "text/html" });
    note("Connection lost; reconnecting.");
    """
    assert javascript_texts(source) == [
        "text: The build of {name} failed: {why}.",
        "text: Copied",
        "text: Connection lost; reconnecting.",
    ]
