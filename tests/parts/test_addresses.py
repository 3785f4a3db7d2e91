"""What of an address is a key, and what tells places apart."""

from __future__ import annotations

import pytest

from pawprint.parts.addresses import has_key, identity, without_keys


@pytest.mark.parametrize(
    ("address", "seen", "meant"),
    [
        ("s3://b/p", "s3://b/p", "s3://b/p"),
        ("s3://key:secret@b/p", "s3://b/p", "s3://b/p"),
        ("s3://key@b/p", "s3://b/p", "s3://b/p"),
        ("gs://anonymous@b/p", "gs://anonymous@b/p", "gs://b/p"),
        ("sftp://ann:word@host:22/p", "sftp://host:22/p", "sftp://ann@host:22/p"),
        ("http://[::1]:80/p", "http://[::1]:80/p", "http://[::1]:80/p"),
        ("sftp://ann@host/p", "sftp://ann@host/p", "sftp://ann@host/p"),
        ("abfs://cats@account/p", "abfs://cats@account/p", "abfs://cats@account/p"),
        ("s3://b/p?scheme=http&region=x", "s3://b/p", "s3://b/p?region=x&scheme=http"),
        ("http://h/p?X-Amz-Signature=1&v=2", "http://h/p", "http://h/p?v=2"),
        ("abfs://c@a/p?sas_token=1", "abfs://c@a/p", "abfs://c@a/p"),
        ("s3://b/me@home.jpg", "s3://b/me@home.jpg", "s3://b/me@home.jpg"),
    ],
)
def test_keys_are_left_out_and_nothing_else(address: str, seen: str, meant: str) -> None:
    assert without_keys(address) == seen
    assert identity(address) == meant


@pytest.mark.parametrize(
    ("address", "has"),
    [
        ("s3://key:secret@b/a.jpg", True),
        ("s3://key@b/a.jpg", True),
        ("s3://key:sec/ret@b/a.jpg", True),
        ("sftp://ann:word@host/a.jpg", True),
        ("sftp://ann@host/a.jpg", False),
        ("abfs://cats@account/a.jpg", False),
        ("gs://anonymous@b/a.jpg", False),
        ("http://127.0.0.1:80/a@b.jpg", False),
        ("a@b/c:d.jpg", False),
    ],
)
def test_which_addresses_have_a_key(address: str, has: bool) -> None:
    assert has_key(address) == has
