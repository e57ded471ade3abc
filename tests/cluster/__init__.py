"""Tests on a real cluster; what they share to assert shows its values, as they do themselves."""

import pytest

pytest.register_assert_rewrite("tests.cluster.training")
