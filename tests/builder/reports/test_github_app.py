"""Being a GitHub App: its key, its tokens for as long as they last, its installations as they come and go."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from base.settings import SettingsError
from builder.reports.github_notifier import GitHubStatusNotifier
from builder.reports.http_client import HttpClient
from builder.reports.notifier import PermanentNotifyError, TransientNotifyError
from builder.settings import BuilderSettings
from db.models import Build, Repository
from db.report_model import Report
from db.status import Status
from tests.builder.reports.conftest import Clock
from tests.conftest import COMMIT, NOW
from tests.support.github_api import APP_ID, INSTALLATION, GitHubApi
from tests.support.stand_in import Answer


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def pem(key: rsa.RSAPrivateKey) -> str:
    # As GitHub gives it for download: PKCS #1.
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


@pytest.fixture
def github(key: rsa.RSAPrivateKey) -> Iterator[GitHubApi]:
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with GitHubApi(public) as api:
        yield api


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, github: GitHubApi, pem: str) -> None:
    path = tmp_path / "key.pem"
    path.write_text(pem)
    monkeypatch.setenv("REPO2HUB_GITHUB_APP_ID", str(APP_ID))
    monkeypatch.setenv("REPO2HUB_GITHUB_APP_PRIVATE_KEY_FILE", str(path))
    monkeypatch.setenv("REPO2HUB_GITHUB_API_URL", github.url)


@pytest.fixture
def notifier(clock: Clock) -> GitHubStatusNotifier:
    return GitHubStatusNotifier(BuilderSettings.load(), HttpClient(), clock)


def notify(
    notifier: GitHubStatusNotifier, *, installation: int | None = INSTALLATION, commit: str = COMMIT
) -> None:
    repository = Repository(id=1, full_name="Org/Repo", installation_id=installation)
    build = Build(id=1, commit=commit, repository=repository)
    report = Report(id=1, commit=commit, status=Status.QUEUED, attempt=0, tries=1, created_at=NOW)
    notifier.notify(report, build)


def paths(github: GitHubApi) -> list[str]:
    return [asked.path for asked in github.asked]


TOKENS = f"/app/installations/{INSTALLATION}/access_tokens"
STATUS = f"/repos/Org/Repo/statuses/{COMMIT}"


def test_one_token_serves_until_shortly_before_its_end(
    notifier: GitHubStatusNotifier, github: GitHubApi, clock: Clock
) -> None:
    notify(notifier)
    notify(notifier)
    assert paths(github) == [TOKENS, STATUS, STATUS]
    clock.now += timedelta(minutes=54)
    notify(notifier)
    clock.now += timedelta(minutes=2)
    # The stand-in's own clock stands still, so only the age that the notifier sees matters.
    with pytest.raises(PermanentNotifyError, match="rejected the App"):
        notify(notifier)  # its JWT lies in the future of the stand-in
    assert paths(github)[3:] == [STATUS, TOKENS]


def test_a_token_may_set_statuses_and_nothing_else(notifier: GitHubStatusNotifier, github: GitHubApi) -> None:
    notify(notifier)
    assert github.asked[0].json() == {"permissions": {"statuses": "write"}}


def test_a_jwt_is_short_and_begins_a_little_before_now(
    notifier: GitHubStatusNotifier, github: GitHubApi, clock: Clock
) -> None:
    notify(notifier)
    given = github.asked[0].headers["Authorization"].removeprefix("Bearer ")
    assert jwt.get_unverified_header(given)["alg"] == "RS256"
    claims = jwt.decode(given, options={"verify_signature": False})
    now = clock.now.timestamp()
    assert claims["iat"] < now < claims["exp"] <= claims["iat"] + 600


def test_an_installation_that_no_delivery_named_is_looked_up_once(
    notifier: GitHubStatusNotifier, github: GitHubApi
) -> None:
    notify(notifier, installation=None)
    notify(notifier, installation=None)
    assert paths(github) == ["/repos/Org/Repo/installation", TOKENS, STATUS, STATUS]


def test_one_that_was_removed_and_installed_again_is_found(
    notifier: GitHubStatusNotifier, github: GitHubApi
) -> None:
    notify(notifier, installation=12)
    assert paths(github) == [
        "/app/installations/12/access_tokens",
        "/repos/Org/Repo/installation",
        TOKENS,
        STATUS,
    ]


def test_a_token_that_is_rejected_early_is_renewed_once(
    notifier: GitHubStatusNotifier, github: GitHubApi
) -> None:
    notify(notifier)
    github.tokens.clear()
    notify(notifier)
    assert paths(github) == [TOKENS, STATUS, STATUS, TOKENS, STATUS]
    github.always = Answer(401, {"message": "Bad credentials"})
    with pytest.raises(PermanentNotifyError):
        notify(notifier)
    assert paths(github)[5:] == [STATUS, TOKENS]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([Answer(404), Answer(404)], "not installed on Org/Repo"),
        (
            [Answer(422, {"message": "The permissions requested are not granted"})],
            "grant it the permission Commit statuses",
        ),
        ([Answer(403, {"message": "This installation has been suspended"})], "has been suspended"),
        ([Answer(401, {"message": "Expired"})], "machine's clock"),
    ],
)
def test_what_an_admin_has_to_mend_is_said(
    notifier: GitHubStatusNotifier, github: GitHubApi, answers: list[Answer], words: str
) -> None:
    github.trouble.extend(answers)
    with pytest.raises(PermanentNotifyError, match=words):
        notify(notifier)


@pytest.mark.parametrize("body", [None, [], {"token": 1}, {"token": "x", "expires_at": "soon"}])
def test_an_answer_without_a_token_is_waited_out(
    notifier: GitHubStatusNotifier, github: GitHubApi, body: object
) -> None:
    github.trouble.append(Answer(201, body))
    with pytest.raises(TransientNotifyError):
        notify(notifier)


def test_one_owner_s_limit_is_not_another_s(notifier: GitHubStatusNotifier) -> None:
    one, two = (
        Build(repository=Repository(full_name=name, installation_id=1)) for name in ("Org/a", "other/a")
    )
    assert notifier.scope(one) == "org" != notifier.scope(two)


def test_a_key_in_a_variable_may_have_escaped_line_breaks(monkeypatch: pytest.MonkeyPatch, pem: str) -> None:
    monkeypatch.delenv("REPO2HUB_GITHUB_APP_PRIVATE_KEY_FILE")
    monkeypatch.setenv("REPO2HUB_GITHUB_APP_PRIVATE_KEY", pem.replace("\n", "\\n"))
    found = BuilderSettings.load().github_app_private_key
    assert found is not None and found.get_secret_value() == pem


def test_a_key_of_another_kind_is_refused_and_not_quoted(monkeypatch: pytest.MonkeyPatch, pem: str) -> None:
    monkeypatch.delenv("REPO2HUB_GITHUB_APP_PRIVATE_KEY_FILE")
    elliptic = ec.generate_private_key(ec.SECP256R1())
    other = elliptic.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for wrong in ("nonsense", pem[:600], other):
        monkeypatch.setenv("REPO2HUB_GITHUB_APP_PRIVATE_KEY", wrong)
        with pytest.raises(SettingsError) as caught:
            BuilderSettings.load()
        assert str(caught.value).startswith("REPO2HUB_GITHUB_APP_PRIVATE_KEY: not an RSA private key")
        assert (wrong[30:60] or wrong) not in str(caught.value)
