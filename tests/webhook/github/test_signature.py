"""Signatures of deliveries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.settings import SettingsError
from webhook.github.signature import hmac_keys, is_signature, is_signed, sign

# GitHub's page "Validating webhook deliveries", section "Testing the webhook payload validation".
SECRET = "It's a Secret to Everybody"
BODY = b"Hello, World!"
HEADER = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_githubs_own_example_is_accepted() -> None:
    assert is_signature(HEADER)
    assert is_signed(BODY, HEADER, hmac_keys([SECRET]))
    assert sign(BODY, SECRET.encode()) == HEADER


@pytest.mark.parametrize("order", [["old", SECRET], [SECRET, "new"]])
def test_all_configured_secrets_are_accepted(order: list[str]) -> None:
    assert is_signed(BODY, HEADER, hmac_keys(order))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        HEADER.removeprefix("sha256="),
        HEADER.replace("sha256", "sha1"),
        HEADER.upper(),
        HEADER[:-1],
        HEADER + "0",
        HEADER + "é",
        "sha256=" + "\N{ARABIC-INDIC DIGIT ZERO}" * 64,
        "sha256=\udcff",
    ],
)
def test_only_the_exact_signature_is_accepted(header: str | None) -> None:
    assert not is_signed(BODY, header, hmac_keys([SECRET]))


@given(body=st.binary(), header=st.text())
def test_any_header_is_verified_without_an_error(body: bytes, header: str) -> None:
    assert is_signed(body, header, [b"key"]) == (header == sign(body, b"key"))


@given(body=st.binary(), other=st.binary())
def test_a_signature_is_valid_for_one_body_only(body: bytes, other: bytes) -> None:
    assert is_signed(other, sign(body, b"key"), [b"key"]) == (body == other)


def test_a_secret_can_contain_any_character() -> None:
    (key,) = hmac_keys(["schlüssel\N{KEY}"])
    assert is_signed(BODY, sign(BODY, "schlüssel\N{KEY}".encode()), [key])


@pytest.mark.parametrize("secrets", [[], [""], ["", "  "]])
def test_the_error_for_a_missing_secret_names_the_variable(secrets: list[str]) -> None:
    with pytest.raises(SettingsError, match="REPO2HUB_WEBHOOK_SECRETS"):
        hmac_keys(secrets)


def test_an_empty_secret_next_to_another_one_is_ignored() -> None:
    found = hmac_keys(["", SECRET])
    assert is_signed(BODY, HEADER, found)
    assert not is_signed(BODY, sign(BODY, b""), found)
