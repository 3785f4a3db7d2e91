"""Names and reasons as they can stand in a message of one line. Imports no other room."""


def shown(name: str) -> str:
    """Give a name as it can stand in a message of one line.

    >>> shown("two\\nlines")
    'two\\\\nlines'

    Args:
        name: any name, also one with bytes that are not UTF-8.

    Returns:
        The name with escapes for what cannot be printed, cut in the middle when very long.
    """
    if len(name) > 300:
        name = f"{name[:150]}…{name[-100:]}"
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name
    )


def os_reason(error: OSError) -> str:
    """Give the system's own words for an error, without number and path.

    >>> os_reason(FileNotFoundError(2, "No such file or directory"))
    'no such file or directory'

    Args:
        error: what the system raised.

    Returns:
        The words in lower case.
    """
    return (error.strerror or str(error) or type(error).__name__).lower()
