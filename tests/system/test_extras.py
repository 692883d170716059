from __future__ import annotations

import pytest

from mlptrain.errors import UsageError
from mlptrain.system.extras import require_extra


def test_installed_library_is_accepted() -> None:
    require_extra("numpy", "images", "reading PNG and JPEG")


def test_missing_library_raises_usage_error_with_its_extra() -> None:
    with pytest.raises(UsageError) as caught:
        require_extra("no_such_library", "images", "reading PNG and JPEG")
    message = str(caught.value)
    assert "reading PNG and JPEG" in message and "pip install 'mlptrain[images]'" in message
