"""Name a repository's package cache in the build engine.

BuildKit shares a cache mount between all builds that use its id, and any Dockerfile may use any id. With an id
that can be guessed, one repository could put packages into another's images, so ids are keyed with the builder's
secret. The id itself is secret too: `UvBuildPack` keeps it out of the log and the image.
"""

import hashlib
import hmac

from base.repository_names import name_key


def cache_id(key: bytes, repository: str) -> str:
    """Return the id of the cache mount of `repository` ("org/repo", or a URL).

    Raises ValueError for a key shorter than 32 bytes, the length of the digest.
    """
    if len(key) < hashlib.sha256().digest_size:
        raise ValueError("the key of the package caches must have at least 32 bytes")
    message = f"uv cache mount of {name_key(repository)}".encode()
    return f"uv-{hmac.new(key, message, hashlib.sha256).hexdigest()}"
