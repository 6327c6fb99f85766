"""The types of settings: addresses and comma-separated lists."""

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode


def split_list(value: object) -> object:
    """Return the parts of a comma-separated string; anything else unchanged."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _base_url(value: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~/-]*)?", value):
        raise ValueError(
            "must be an address such as https://host/path or http://127.0.0.1:5000, without user name and query"
        )
    return value.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_base_url)]
CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_list)]
SecretList = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(split_list)]


def is_loopback(host: str) -> bool:
    """Return whether a host in a setting is a loopback address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
