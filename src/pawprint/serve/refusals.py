"""Requests that are not answered as they wish: a stable code, its status, and a sentence."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

# What clients may rely on; docs/serving.md explains each.
CODES = {
    "bad_request": HTTPStatus.BAD_REQUEST,
    "bad_multipart": HTTPStatus.BAD_REQUEST,
    "bad_tensor": HTTPStatus.BAD_REQUEST,
    "no_photo": HTTPStatus.BAD_REQUEST,
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "cross_site": HTTPStatus.FORBIDDEN,
    "not_found": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "too_slow": HTTPStatus.REQUEST_TIMEOUT,
    "body_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_many_files": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_many_fields": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unsupported_media_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "unsupported_encoding": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "unreadable": HTTPStatus.UNPROCESSABLE_ENTITY,
    "headers_too_large": HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
    "overloaded": HTTPStatus.SERVICE_UNAVAILABLE,
    "deadline_exceeded": HTTPStatus.SERVICE_UNAVAILABLE,
}


class Refusal(Exception):
    """A request is refused.

    >>> refusal = Refusal("overloaded", "too much waits", retry_after=2)
    >>> refusal.status.value, refusal.headers, refusal.body["code"]
    (503, {'Retry-After': '2'}, 'overloaded')

    Args:
        code: one of `CODES`.
        message: what happened, what was expected and what to do; nothing that a client sent.
        retry_after: seconds until it is worth another try, or None.
        headers: further ones of the answer.
        more: further fields of its body.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry_after: int | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.code, self.status = code, CODES[code]
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        self.body: dict[str, Any] = {"error": message, "code": code, **more}


class ClientGone(Exception):
    """The client went away: there is nobody to answer."""
