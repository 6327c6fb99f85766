"""The environment that git runs in: no configuration of this machine, no prompt, the token for one URL only.

A repository is hostile input. Its submodules name hosts, its attributes name filters, and git would read the
configuration, credential helpers and SSH agent of the builder's user. None of these is available here.
"""

import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from base import allowed_git_hosts
from base.git_environment import DEFAULT_PATH, git_environment
from builder.settings import BuilderSettings

LOCAL_ENVIRONMENT = {
    "PATH": DEFAULT_PATH,
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}
"""For git commands that read a checkout and use no network."""

_CONFIG: tuple[tuple[str, str], ...] = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.symlinks", "true"),
    ("core.autocrlf", "false"),
    ("core.protectNTFS", "true"),
    ("core.protectHFS", "true"),
    ("advice.detachedHead", "false"),
    # Neither may leave a process that outlives the fetch.
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    # Always one pack, never loose objects: a kept .git then differs less between clones.
    ("fetch.unpackLimit", "1"),
)


@dataclass(frozen=True)
class GitAccess:
    """How git connects to the server of one repository, and to those of its submodules.

    `server` is the repository's, GitHub by default. `private_home` is an empty folder of this build alone.
    `hosts` are those of REPO2HUB_GIT_HOSTS. Of `environ` git gets PATH and the variables for proxies and CA
    certificates.
    """

    github_url: str
    token: SecretStr | None
    private_home: Path
    extra_ca_certs: Path | None
    environ: Mapping[str, str] = field(default_factory=dict)
    server: str = ""
    hosts: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        settings: BuilderSettings,
        repository: str,
        private_home: Path,
        environ: Mapping[str, str],
        *,
        is_public: bool,
    ) -> Self:
        """Return the access for a repository; with the service's token only where it may be needed."""
        provider = settings.git_provider(repository)
        return cls(
            settings.github_url,
            settings.github_token if provider.takes_token and not is_public else None,
            private_home,
            settings.extra_ca_certs,
            environ,
            provider.server_url(repository),
            settings.git_hosts,
        )

    def environment(self, repository_url: str | None = None, *, urls: Iterable[str] = ()) -> dict[str, str]:
        """Return git's whole environment, in which the token is sent to `repository_url` and nowhere else.

        Without `repository_url`, and for every other URL, git is anonymous. `urls` are those that git will
        connect to: their servers are looked up and pinned first. Raises like `base.allowed_git_hosts.pin_address`.
        """
        environ = dict(self.environ)
        if self.extra_ca_certs is not None:
            environ["GIT_SSL_CAINFO"] = str(self._write_ca_bundle(self.extra_ca_certs))
        env = git_environment(
            self._server,
            environ,
            github_url=self.github_url,
            token=self.token.get_secret_value() if self.token else None,
            token_url=repository_url,
            config=[*_CONFIG, *(option for url in urls for option in self._pinned(url))],
        )
        home = str(self.private_home)
        return env | {"HOME": home, "XDG_CONFIG_HOME": home, "GIT_LFS_SKIP_SMUDGE": "1"}

    def http_url(self, url: str) -> str:
        """Return the HTTP form of an SSH or git URL that names the repository's own server."""
        host = urlsplit(self._server).netloc
        for form in (f"git@{host}:", f"ssh://git@{host}/", f"git://{host}/"):
            if url.startswith(form):
                return f"{self._server}/{url.removeprefix(form)}"
        return url

    def is_github(self, url: str) -> bool:
        """Return whether a URL is on the configured GitHub."""
        return url.startswith(f"{self.github_url}/")

    @property
    def _server(self) -> str:
        return self.server or self.github_url

    def _pinned(self, url: str) -> list[tuple[str, str]]:
        return allowed_git_hosts.pin_address(
            url, github_url=self.github_url, hosts=self.hosts, environ=self.environ
        )

    def _write_ca_bundle(self, extra: Path) -> Path:
        """Write the system's certificates and the extra ones to one file, and return its path."""
        named = self.environ.get("GIT_SSL_CAINFO") or self.environ.get("SSL_CERT_FILE")
        system = Path(named or ssl.get_default_verify_paths().cafile or os.devnull)
        bundle = self.private_home / "ca-bundle.pem"
        bundle.write_bytes(system.read_bytes() + b"\n" + extra.read_bytes())
        return bundle
