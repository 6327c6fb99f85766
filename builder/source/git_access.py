"""The environment that git runs in: none of the machine's configuration, no prompt, the token for one place.

A repository is hostile input. Its submodules name hosts, its attributes name filters, and git would read the
configuration, credential helpers and SSH agent of whoever runs the builder. None of these is in reach here.
"""

import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from base import git_hosts
from base.git_environment import DEFAULT_PATH, git_environment

#: For git commands that read a checkout and reach nothing else.
LOCAL_ENVIRONMENT = {
    "PATH": DEFAULT_PATH,
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}

_CONFIG: tuple[tuple[str, str], ...] = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.symlinks", "true"),
    ("core.autocrlf", "false"),
    ("core.protectNTFS", "true"),
    ("core.protectHFS", "true"),
    ("advice.detachedHead", "false"),
    # Neither may leave a process behind that outlives the fetch.
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    # One pack instead of loose objects, however small the fetch: a kept .git then differs less between clones.
    ("fetch.unpackLimit", "1"),
)


@dataclass(frozen=True)
class GitAccess:
    """How git may reach the server of one repository, and those of its submodules.

    `server` is where the repository is, GitHub by default. `private_home` is an empty folder of this build alone.
    `ca_bundle`: certificates to trust besides the system's. `environ`: the builder's environment, of which the
    proxy variables, PATH and the CA variables are used. `hosts` are those of REPO2HUB_GIT_HOSTS.
    """

    github_url: str
    token: SecretStr | None
    private_home: Path
    ca_bundle: Path | None
    environ: Mapping[str, str] = field(default_factory=dict)
    server: str = ""
    hosts: tuple[str, ...] = ()

    def environment(self, repository_url: str | None = None, *, urls: Iterable[str] = ()) -> dict[str, str]:
        """Return git's whole environment; the token in it goes to `repository_url` and nowhere else.

        Without `repository_url`, and for every other URL, git is anonymous. So it is for submodules: with the
        token, anybody's repository could name a private one as its submodule and carry its files off in an image.
        `urls` are what git is going to ask: their servers are looked up first. Raises as `base.git_hosts.pinned`.
        """
        environ = dict(self.environ)
        if self.ca_bundle is not None:
            environ["GIT_SSL_CAINFO"] = str(self._write_ca_bundle(self.ca_bundle))
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
        """Return the address at which to fetch what names the repository's server by SSH or the git protocol."""
        host = urlsplit(self._server).netloc
        for form in (f"git@{host}:", f"ssh://git@{host}/", f"git://{host}/"):
            if url.startswith(form):
                return f"{self._server}/{url.removeprefix(form)}"
        return url

    def is_github(self, url: str) -> bool:
        """Tell whether an address is one of the configured GitHub's."""
        return url.startswith(f"{self.github_url}/")

    @property
    def _server(self) -> str:
        return self.server or self.github_url

    def _pinned(self, url: str) -> list[tuple[str, str]]:
        return git_hosts.pin_address(url, github_url=self.github_url, hosts=self.hosts, environ=self.environ)

    def _write_ca_bundle(self, extra: Path) -> Path:
        """Write a bundle of the system's certificates and the extra ones, and return its path."""
        named = self.environ.get("GIT_SSL_CAINFO") or self.environ.get("SSL_CERT_FILE")
        system = Path(named or ssl.get_default_verify_paths().cafile or os.devnull)
        both = self.private_home / "ca-bundle.pem"
        both.write_bytes(system.read_bytes() + b"\n" + extra.read_bytes())
        return both
