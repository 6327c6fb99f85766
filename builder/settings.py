"""The builder's settings, in addition to those that all roles share."""

import re
import socket
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from base.report_channels import GITHUB_STATUS
from base.settings import SharedSettings

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def _bytes(value: object) -> object:
    """Read 2147483648, 2048m or 2g, as `docker run --memory` does."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+)\s*([kmgt]?)b?", value.strip().lower())
    if match is None:
        raise ValueError("must be a number of bytes, optionally with the unit k, m, g or t, such as 4g")
    return int(match[1]) * _UNITS[match[2]]


Bytes = Annotated[int, BeforeValidator(_bytes)]


class BuilderSettings(SharedSettings):
    """The settings of one builder process."""

    extra_ca_certs: Path | None = None
    """A PEM bundle that git, base images and reports trust, for networks that intercept TLS."""
    build_timeout: float = Field(default=3600, gt=0)
    """Seconds that each of fetching, pulling the base image, building and pushing may take."""
    build_idle_timeout: float = Field(default=900, gt=0)
    """Seconds that a build may run without output."""
    build_memory_limit: Bytes | None = Field(default=None, ge=64 * 2**20)
    """Bytes of memory that all build steps of the engine may use together."""
    build_slots: int = Field(default=1, ge=1, le=64)
    """Number of builds that this process runs at once."""
    worker_name: str = Field(default_factory=socket.gethostname)

    @field_validator("extra_ca_certs")
    @classmethod
    def _validate_ca_certs(cls, value: Path | None) -> Path | None:
        if value is None:
            return value
        try:
            found = b"-----BEGIN CERTIFICATE-----" in value.read_bytes()
        except OSError as exc:
            raise ValueError(f"cannot read {value}: {exc.strerror}") from exc
        if not found:
            raise ValueError(f"{value} has no PEM certificate (-----BEGIN CERTIFICATE-----)")
        return value

    @field_validator("github_app_private_key")
    @classmethod
    def _validate_private_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return value
        # Line breaks may be written as \\n, for environments whose variables cannot contain them.
        pem = value.get_secret_value().replace("\\n", "\n")
        if not _is_rsa_key(pem):
            raise ValueError("not an RSA private key in PEM format; use the file downloaded from GitHub")
        return SecretStr(pem)

    @model_validator(mode="after")
    def _require_report_credentials(self) -> Self:
        if self.github_app_id is not None and self.github_app_private_key is None:
            raise ValueError("REPO2HUB_GITHUB_APP_PRIVATE_KEY: required with REPO2HUB_GITHUB_APP_ID")
        if GITHUB_STATUS in self.channels and self.github_app_id is None and self.github_status_token is None:
            raise ValueError(
                "REPO2HUB_GITHUB_STATUS_TOKEN: commit statuses need it or REPO2HUB_GITHUB_APP_ID"
            )
        return self


def _is_rsa_key(pem: str) -> bool:
    # Imported here: `repo2hub doctor` reads these settings on hosts without the builder's packages.
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        return isinstance(load_pem_private_key(pem.encode(), password=None), RSAPrivateKey)
    except (ValueError, TypeError):  # not passed on: their texts quote the key
        return False
