"""The photos of a multipart form, in memory."""

from __future__ import annotations

import multipart

from pawprint.serve.refusals import Refusal
from pawprint.serve.settings import Settings

Named = tuple[str, bytes]  # a photo's name, as the client calls it, and its bytes

UNNAMED = "<unnamed>"
_MAX_NAME = 4096  # bytes of a part's header line
_SHOWN_NAME = 255


def photos(data: bytes, content_type: str, settings: Settings) -> list[Named]:
    """Take a form apart.

    Args:
        data: the form.
        content_type: the request's, with the boundary.
        settings: with the limits.

    Returns:
        Name and bytes of every part that is a file: that has a file's name, or an image's type.

    Raises:
        Refusal: it is no form, has too many parts, or no file among them.
    """
    _, options = multipart.parse_options_header(content_type)
    try:
        parser = multipart.PushMultipartParser(
            options.get("boundary", ""),
            max_header_size=_MAX_NAME,
            max_segment_count=settings.files + settings.fields + 1,
        )
        with parser:
            found = _collect(parser, data, settings)
    except multipart.MultipartError as fault:
        raise Refusal("bad_multipart", f"the form cannot be read ({fault.args[0]})") from None
    if not found:
        raise Refusal(
            "no_photo", 'the form holds no file; with curl, add one with -F "photo=@photo.jpg"'
        )
    return found


def _collect(parser: multipart.PushMultipartParser, data: bytes, settings: Settings) -> list[Named]:
    found: list[Named] = []
    parts: list[bytes] = []
    name: str | None = None
    fields = 0
    for event in parser.parse(data):
        if isinstance(event, multipart.MultipartSegment):
            name, parts = _name(event), []
            fields += name is None
            _check(len(found) + (name is not None), fields, settings)
        elif event is not None:
            if name is not None:
                parts.append(event)
        elif name is not None and (parts or name != UNNAMED):
            found.append((name, parts[0] if len(parts) == 1 else b"".join(parts)))
    return found


def _name(part: multipart.MultipartSegment) -> str | None:
    """What to call a file; None for a field that is none."""
    if part.filename is None and not (part.content_type or "").startswith("image/"):
        return None
    return (part.filename or "")[:_SHOWN_NAME] or UNNAMED


def _check(files: int, fields: int, settings: Settings) -> None:
    if files > settings.files:
        raise Refusal(
            "too_many_files",
            f"the form holds more than {settings.files} files; send them in several requests",
        )
    if fields > settings.fields:
        raise Refusal(
            "too_many_fields",
            f"the form holds more than {settings.fields} fields that are no files; send none",
        )
