"""Masking secrets, in every form and in hostile lines."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.logs.masking import Masker

SECRET = "s3cr3t/with+odd&chars"


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"x-access-token:" + SECRET.encode()).decode(),
        base64.urlsafe_b64encode(b"me:" + SECRET.encode()).decode(),
        json.dumps({"token": SECRET}),
        SECRET[:5] + "\x00" + SECRET[5:],
    ],
)
def test_a_secret_is_masked_in_every_encoding(form: str) -> None:
    masked = Masker([SECRET]).mask(f"before {form} after")
    assert "***" in masked
    assert SECRET not in masked and SECRET[3:15] not in masked
    assert base64.b64encode(SECRET.encode()).decode()[4:20] not in masked
    assert masked.startswith("before ") and masked.endswith(" after")


@given(st.text("abcXYZ019-_~é日", min_size=6, max_size=40), st.binary(max_size=9), st.binary(max_size=9))
def test_a_secret_is_masked_in_base64_at_any_offset(secret: str, before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    masked = Masker([secret]).mask(encoded)
    # Of the secret at most the bits that share a character with its neighbours are left.
    assert len(masked.replace("***", "")) <= len(base64.b64encode(before + after)) + 4


def test_the_longer_of_two_secrets_is_masked_whole() -> None:
    assert Masker(["secret", "secret-and-more"]).mask("a secret-and-more b secret") == "a *** b ***"


def test_each_line_of_a_secret_is_masked() -> None:
    assert Masker(["first-line\nsecond-line\n"]).mask("x second-line y") == "x *** y"


def test_a_short_secret_is_refused_without_naming_it() -> None:
    with pytest.raises(ValueError, match="fewer than 6") as caught:
        Masker(["abc12"])
    assert "abc12" not in str(caught.value)


def test_an_empty_secret_masks_nothing() -> None:
    assert Masker(["", ""]).mask("plain text") == "plain text"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("clone https://me:pass@host.example/x", "clone https://***@host.example/x"),
        ("https://tok@host/x https://a:b@c@host/y", "https://***@host/x https://***@host/y"),
        ("git+ssh://git@host/x", "git+ssh://***@host/x"),
        ("https://host/@scope/package", "https://host/@scope/package"),
        ("write to me@host.example", "write to me@host.example"),
        ("key AKIAABCDEFGHIJKLMNOP.", "key ***."),
        ("ghp_" + "a" * 36, "***"),
        ("github_pat_" + "a1_" * 20, "***"),
        ("x ghs_" + "Z" * 40 + " y", "x *** y"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
        ('{"Authorization": "Bearer abc.def"}', '{"Authorization": "Bearer ***"}'),
        ("use bearer abcdefghijklmnopqrstuvwx", "use bearer ***"),
        ("bearer of bad news", "bearer of bad news"),
    ],
)
def test_credentials_are_known_by_their_shape(text: str, masked: str) -> None:
    assert Masker([]).mask(text) == masked


@pytest.mark.parametrize(
    "unit", ["a", "a://", "://@", "@", "ghp_", "\x1b]", "\x1b[", "authorization: ", "bearer ", " "]
)
def test_a_long_hostile_line_is_masked_without_growing(unit: str) -> None:
    line = unit * (65536 // len(unit))
    assert len(Masker([SECRET]).mask(line)) <= len(line) + 3


@given(st.text())
def test_masking_twice_is_masking_once(text: str) -> None:
    masker = Masker([SECRET])
    assert masker.mask(masker.mask(text)) == masker.mask(text)
