"""The snapshot: all user-facing texts of the source, grouped by file."""

from pathlib import Path

from tests.texts.javascript import javascript_texts
from tests.texts.python import python_texts
from tests.texts.templates import template_texts

ROOT = Path(__file__).parents[2]
PATH = Path(__file__).with_name("user_facing_texts.txt")
SOURCES = ("base", "db", "webhook", "builder", "repo2hub", "launcher/repo2hub_launcher", "demo")
COLLECTORS = {".py": python_texts, ".html": template_texts, ".js": javascript_texts}
HEADER = """\
Every text that users of repo2hub can see, by source file, as `context: text`. {name} stands for a value, and
[a | b] for alternatives. Reviewers read this file; `make texts` renews it.
"""


def source_files(root: Path = ROOT) -> list[Path]:
    """Return the files that can contain user-facing texts, sorted by path. Migrations have none."""
    found = [path for folder in SOURCES for path in (root / folder).rglob("*") if path.suffix in COLLECTORS]
    return sorted(path for path in found if "migrations" not in path.parts)


def collect(root: Path = ROOT) -> dict[str, list[str]]:
    """Return the texts of each source file that has any, in the order in which the file has them."""
    texts = {
        path.relative_to(root).as_posix(): COLLECTORS[path.suffix](path.read_text(encoding="utf-8"))
        for path in source_files(root)
    }
    return {name: found for name, found in texts.items() if found}


def snapshot(root: Path = ROOT) -> str:
    """Return the content that the snapshot file must have."""
    parts = [HEADER]
    for name, texts in collect(root).items():
        parts.append("\n".join([name, *(f"  {text}" for text in texts), ""]))
    return "\n".join(parts)
