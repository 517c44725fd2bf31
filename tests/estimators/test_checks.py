"""scikit-learn's checks of estimators."""

from __future__ import annotations

from typing import Any

import kernel_cases as kc
import pytest
from conftest import load_backend
from sklearn.utils.estimator_checks import check_estimator

from fastnet.sklearn import MLPClassifier, MLPRegressor

# Checks that scikit-learn skips for its own MLPClassifier and MLPRegressor too, or without its array API switched on.
SKIPPED = {"check_array_api_input", "check_classifiers_multilabel_output_format_decision_function"}


# The fits are short on purpose, so they end before they converge.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("backend", kc.BACKENDS)
@pytest.mark.parametrize(("make", "least"), [(MLPClassifier, 66), (MLPRegressor, 59)])
def test_all_checks_of_scikit_learn_pass(make: type[Any], least: int, backend: str) -> None:
    load_backend(backend)
    results = check_estimator(make(backend=backend), on_skip=None)
    assert {result["status"] for result in results} <= {"passed", "skipped"}
    assert {result["check_name"] for result in results if result["status"] == "skipped"} <= SKIPPED
    assert sum(result["status"] == "passed" for result in results) >= least
