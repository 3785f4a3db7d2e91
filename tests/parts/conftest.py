"""What the tests of this room share: stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..scale.object_store import Store


@pytest.fixture
def store() -> Iterator[Store]:
    """An object store that holds nothing yet."""
    with Store() as store:
        yield store
