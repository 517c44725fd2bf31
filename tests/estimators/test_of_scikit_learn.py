"""scikit-learn's own tests of MLPClassifier and MLPRegressor, with our estimators in the place of theirs."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from sklearn.neural_network.tests import test_mlp as theirs

pytestmark = pytest.mark.filterwarnings("ignore")  # scikit-learn runs these tests without errors for warnings

# These tests read private attributes, except the last one: our message names the user's label, theirs a bool.
PRIVATE = {
    "test_fit",
    "test_gradient",
    "test_learning_rate_warmstart",
    "test_adaptive_learning_rate",
    "test_n_iter_no_change",
    "test_n_iter_no_change_inf",
    "test_early_stopping_stratified",
}
IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor"


@pytest.fixture
def global_random_seed() -> int:
    """The fixture of this name in scikit-learn's conftest."""
    return 0


def borrowed() -> dict[str, Any]:
    source, names = inspect.getsource(theirs), {"__name__": __name__}
    assert IMPORT in source
    exec(
        compile(source.replace(IMPORT, IMPORT.replace("sklearn.neural_network", "fastnet.sklearn")), "", "exec"), names
    )
    return {name: value for name, value in names.items() if name.startswith("test_")}


TESTS = borrowed()
globals().update({name: test for name, test in TESTS.items() if name not in PRIVATE})


def test_the_list_of_private_tests_is_up_to_date() -> None:
    assert TESTS.keys() >= PRIVATE
    assert len(TESTS) - len(PRIVATE) >= 30
