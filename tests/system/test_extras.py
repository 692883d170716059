from __future__ import annotations

import pytest

from mlptrain.errors import UsageError
from mlptrain.system.extras import need


def test_a_library_that_is_there():
    need("numpy", "images", "reading PNG and JPEG")


def test_one_that_is_missing():
    with pytest.raises(UsageError) as caught:
        need("no_such_library", "images", "reading PNG and JPEG")
    assert str(caught.value).splitlines() == [
        "reading PNG and JPEG needs the images extra, which is not installed",
        "pip install 'mlptrain[images]'",
    ]
