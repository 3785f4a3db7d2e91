"""Addresses such as `s3://bucket/photos`: their parts, and the keys that nobody else is to see.

Knows no file systems.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

# Where what stands before @ is a key. Elsewhere it is a user, or, as of abfs://, a container.
_KEYED = ("s3://", "s3a://", "gs://", "gcs://")
_SECRET = ("key", "token", "secret", "sig", "password", "credential")  # in names of a query


def is_address(text: str) -> bool:
    """Whether it is an address, and not a path on this machine.

    >>> is_address("s3://bucket/photos"), is_address("photos")
    (True, False)
    """
    return "://" in text


def split(address: str) -> tuple[str, str, str, str]:
    """An address's scheme, host, path and query, with what stands between them.

    >>> split("s3://bucket/photos/cat?region=eu-west-1")
    ('s3://', 'bucket', '/photos/cat', '?region=eu-west-1')
    """
    plain, mark, query = address.partition("?")
    scheme, colon, rest = plain.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + colon, host, slash + path, mark + query


def tidy(address: str) -> str:
    """An address without slashes at the end of its path."""
    scheme, host, path, query = split(address)
    return scheme + host + path.rstrip("/") + query


def without_keys(address: str) -> str:
    """An address as people may see it.

    >>> without_keys("s3://key:secret@bucket/photos?region=eu-west-1")
    's3://bucket/photos'
    >>> without_keys("abfs://cats@account.dfs.core.windows.net/photos")
    'abfs://cats@account.dfs.core.windows.net/photos'
    """
    scheme, host, path, _ = split(address)
    user, _, host = host.rpartition("@")
    return _joined(scheme, "" if _is_key(scheme, user) else user, host, path)


def identity(address: str) -> str:
    """What tells an address from others: whatever is in it but keys, which may be renewed.

    >>> identity("s3://key:secret@bucket/photos?endpoint_override=localhost:9000")
    's3://bucket/photos?endpoint_override=localhost%3A9000'
    """
    scheme, host, path, query = split(address)
    user, _, host = host.rpartition("@")
    name = "" if scheme in _KEYED else user.partition(":")[0]
    values = parse_qsl(query[1:], keep_blank_values=True)
    known = sorted((k, v) for k, v in values if not any(word in k.lower() for word in _SECRET))
    return _joined(scheme, name, host, path) + "?" * bool(known) + urlencode(known)


def has_key(address: str) -> bool:
    """Whether an address has a key in it.

    >>> has_key("s3://key:secret@bucket/a.jpg"), has_key("s3://bucket/me@home.jpg")
    (True, False)
    """
    scheme, host, _, _ = split(address)
    user, at, _ = host.rpartition("@")
    return bool(at and _is_key(scheme, user)) or has_broken_key(address)


def has_broken_key(address: str) -> bool:
    """Whether an address has a key that a slash breaks in two."""
    _, host, path, _ = split(address)
    _, colon, port = host.partition(":")
    return bool(colon and "@" not in host and not port.isdigit() and path and "@" in path)


def _is_key(scheme: str, user: str) -> bool:
    return ":" in user or (scheme in _KEYED and user != "anonymous")


def _joined(scheme: str, user: str, host: str, path: str) -> str:
    if not host.startswith("["):  # an address of IPv6 has colons of its own
        host, colon, port = host.partition(":")
        host += (colon + port) * port.isdigit()
    return scheme + user + "@" * bool(user) + host + path
