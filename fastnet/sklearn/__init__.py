"""Estimators for scikit-learn: MLPClassifier and MLPRegressor train as scikit-learn's own do, on fastnet's kernels.

>>> from fastnet.sklearn import MLPClassifier
>>> model = MLPClassifier(solver="lbfgs", random_state=0).fit([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"])
>>> model.predict([[3.0]]).tolist()
['b']
"""

from importlib import import_module

from fastnet.errors import MissingLibraryError

try:
    import_module("sklearn")
except ImportError as error:
    message = f'fastnet.sklearn needs scikit-learn ({error}): python -m pip install "fastnet-mlp[sklearn]"'
    raise MissingLibraryError(message) from None

from fastnet.sklearn.classifier import MLPClassifier
from fastnet.sklearn.onnx_export import to_onnx
from fastnet.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "to_onnx"]
