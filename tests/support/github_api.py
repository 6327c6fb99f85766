"""A stand-in for the part of GitHub's REST API that repo2hub uses: commit statuses, and a GitHub App's tokens.

It keeps statuses as GitHub does, the newest first, and checks what GitHub checks: the token, the App's JWT with
the public key, the words of a state, the length of a description. It has no limits of its own, and knows every
repository and commit; refusals and limits are answers that a test sets.
"""

import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import jwt

from tests.support.stand_in import Answer, Asked, StandIn

TOKEN = "ghp_0123456789abcdefghij"
APP_ID = 4711
INSTALLATION = 99


class GitHubApi(StandIn):
    """With a public key it knows the App APP_ID, whose installation is INSTALLATION, and its tokens only."""

    def __init__(self, public_key: str | None = None) -> None:
        super().__init__()
        self.statuses: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self.tokens: dict[str, datetime] = {}
        self.installation = INSTALLATION
        self._public_key = public_key
        if public_key is None:
            self.tokens[TOKEN] = datetime.max.replace(tzinfo=UTC)

    def answer(self, asked: Asked) -> Answer:
        path, query = asked.path.partition("?")[0], parse_qs(asked.path.partition("?")[2])
        if found := re.fullmatch(r"/app/installations/(\d+)/access_tokens", path):
            return self._make_token(asked, int(found[1]))
        if found := re.fullmatch(r"/repos/([^/]+/[^/]+)/installation", path):
            refused = self._check_app(asked)
            return refused or Answer(200, {"id": self.installation})
        scheme, _, token = asked.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or self.tokens.get(token, datetime.min.replace(tzinfo=UTC)) < datetime.now(UTC):
            return Answer(401, {"message": "Bad credentials"})
        if found := re.fullmatch(r"/repos/([^/]+/[^/]+)/statuses/([0-9a-f]{40})", path):
            return self._set(found[1], found[2], asked.json())
        if found := re.fullmatch(r"/repos/([^/]+/[^/]+)/commits/([0-9a-f]{40})/statuses", path):
            return Answer(200, self.statuses[found[1], found[2]][: int(query.get("per_page", ["30"])[0])])
        return Answer(404, {"message": "Not Found"})

    def of(self, full_name: str, commit: str) -> list[tuple[str, str]]:
        """Return states and descriptions that were set on a commit, the oldest first."""
        return [(one["state"], one["description"]) for one in reversed(self.statuses[full_name, commit])]

    def _set(self, full_name: str, commit: str, status: dict[str, Any]) -> Answer:
        if status["state"] not in ("pending", "success", "failure", "error"):
            return Answer(422, {"message": "Validation Failed: state"})
        if len(status["description"]) > 140 or "\n" in status["description"]:
            return Answer(422, {"message": "Validation Failed: description"})
        self.statuses[full_name, commit].insert(0, status)
        return Answer(201, status)

    def _make_token(self, asked: Asked, installation: int) -> Answer:
        if refused := self._check_app(asked):
            return refused
        if installation != self.installation:
            return Answer(404, {"message": "Not Found"})
        token, expires = f"ghs_{len(self.tokens):020}", datetime.now(UTC) + timedelta(hours=1)
        self.tokens[token] = expires
        return Answer(201, {"token": token, "expires_at": expires.isoformat()[:19] + "Z"})

    def _check_app(self, asked: Asked) -> Answer | None:
        given = asked.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(given, self._public_key or "", algorithms=["RS256"], issuer=str(APP_ID))
        except jwt.PyJWTError as exc:
            return Answer(401, {"message": f"A JSON web token could not be decoded: {exc}"})
        if claims["exp"] - claims["iat"] > 600:
            return Answer(401, {"message": "'Expiration time' claim ('exp') is too far in the future"})
        return None
