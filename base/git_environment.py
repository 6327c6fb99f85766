"""Build the environment in which git reads from a server, independent of this host's configuration. Pure.

A repository's name cannot become another address, another protocol or a command, and the token is sent only to
one repository's address.
"""

import base64
from collections.abc import Mapping, Sequence

DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"

# The search path and proxies; nothing else of the environment is passed on.
_PASSED_VARIABLES = (
    "PATH",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
)


def git_environment(
    server: str,
    environ: Mapping[str, str],
    *,
    github_url: str,
    token: str | None = None,
    token_url: str | None = None,
    config: Sequence[tuple[str, str]] = (),
) -> dict[str, str]:
    """Return the whole environment of a git that reads from `server` (a provider's server URL), `config` included.

    The token is in no command line and no file, and is sent only to `token_url` (a clone URL). GitHub's
    redirects are followed, because renames cause them; those of other servers are not (see
    `base.allowed_git_hosts`), and none is with a token, which git would send along. git never prompts for a
    password and uses https only (and http if the server is configured with it). Of `environ`, the search
    path, proxies and CA bundle are passed on.
    """
    environment = {name: environ[name] for name in _PASSED_VARIABLES if environ.get(name)}
    environment.setdefault("PATH", DEFAULT_PATH)
    environment |= {
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",  # `base.git_messages` parses its messages
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_SSH_COMMAND": "false",
        "GIT_ALLOW_PROTOCOL": "https" if server.startswith("https://") else "http:https",
    }
    # git built with GnuTLS, as Debian's is, does not read SSL_CERT_FILE itself.
    if bundle := environ.get("GIT_SSL_CAINFO") or environ.get("SSL_CERT_FILE"):
        environment["GIT_SSL_CAINFO"] = bundle
    options = [*config, ("credential.helper", ""), *_redirects_and_token(github_url, token, token_url)]
    environment["GIT_CONFIG_COUNT"] = str(len(options))
    for number, (key, value) in enumerate(options):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return environment


def _redirects_and_token(github_url: str, token: str | None, url: str | None) -> list[tuple[str, str]]:
    options = [("http.followRedirects", "false")]
    if not token or url is None:
        return [*options, (f"http.{github_url}/.followRedirects", "initial")]
    # GitHub accepts a token as the password of any user; GitHub Actions uses this name.
    credentials = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return [*options, (f"http.{url}.extraHeader", f"Authorization: Basic {credentials}")]
