"""The templates and static files themselves."""

import re

from tests.conftest import ROOT


def test_templates_and_static_files_refer_to_no_other_host() -> None:
    """Browsers would block it because of the Content-Security-Policy."""
    for folder in ("templates", "static"):
        for path in (ROOT / "webhook" / "pages" / folder).iterdir():
            text = path.read_text().replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", text), path
            assert "style=" not in text and not re.search(r"\son[a-z]+=", text), path
