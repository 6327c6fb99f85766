"""The name of a repository's package cache in the build engine.

BuildKit shares a cache mount between all builds that say its id, and any repository's Dockerfile may say any id.
An id that could be guessed would let one repository put packages into another's images, so ours are keyed with a
secret of the builder. The id is itself a secret: `UvBuildPack` keeps it out of the log and the image.
"""

import hashlib
import hmac

from base.repository_names import name_key


def cache_id(key: bytes, repository: str) -> str:
    """Return the id of the cache mount of `repository` ("org/repo", or an address), the same for the same key.

    Raises ValueError for a key shorter than 32 bytes, the length of the digest.
    """
    if len(key) < hashlib.sha256().digest_size:
        raise ValueError("the key of the package caches has to be at least 32 bytes long")
    message = f"uv cache mount of {name_key(repository)}".encode()
    return f"uv-{hmac.new(key, message, hashlib.sha256).hexdigest()}"
