"""Files and other libraries, as methods of Network. `network_file.py` and `export/` have the formats."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnet.architecture import Architecture, Floats
from fastnet.costs import CostObject
from fastnet.kernels import contract as c
from fastnet.names import Cost, Output, TaskName

if TYPE_CHECKING:
    from fastnet.network_file import Saved


class NetworkFormats(Architecture):
    """The part of a network that files and other libraries see. `Network` adds the computation."""

    _buffer: Floats
    _largest_input: float

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a file, without pickle. An existing file stays until the new one is complete.

        A name that ends in .safetensors gives a safetensors file (the extra `safetensors`). Its tensors have the names
        and shapes of the state of a `torch.nn.Sequential`. Another name gives an NPZ file; .onnx and .c are refused.
        docs/network-file.md describes both formats.

        Parameters
        ----------
        path : path
            The file.

        Raises
        ------
        DataError
            The file cannot be written, or its name ends in .onnx or .c.
        MissingLibraryError
            The name ends in .safetensors, and this machine lacks safetensors.
        """
        from fastnet import network_file  # imported here, since it imports fastnet.data, a lazy package

        network_file.write(path, self, self._buffer, self._largest_input, self.schema)

    def saved_arrays(self, parameters: Floats) -> dict[str, NDArray[Any]]:
        """Return the arrays of the file that `save` would write if the network had these parameters."""
        from fastnet import network_file

        return network_file.arrays_of(self, parameters, self._largest_input, self.schema)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the network that `save` wrote. The content of the file says which format it has.

        On a subclass, `load` returns an object of the subclass. As with pickle, its `__init__` is not called.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        Network
            The network, with the same bits in its parameters.

        Raises
        ------
        DataError
            The file is missing or damaged, or was not written by `save`.
        MissingLibraryError
            The file is a safetensors file, and this machine lacks safetensors.
        """
        from fastnet import network_file

        with network_file.opened(path) as saved:
            return cls.made_of(saved)

    @classmethod
    def made_of(cls, saved: Saved) -> Self:
        """Return the network that `fastnet.network_file` read."""
        network = cls._made(saved.sizes, saved.parameters, saved.settings, saved.largest_input)
        network.schema = saved.schema
        return network

    def to_onnx(self, path: str | os.PathLike[str], *, x_dtype: DTypeLike | None = None) -> None:
        """Write the network as an ONNX file (opset 17). An existing file stays until the new one is complete.

        The input `x` has any number of rows. The outputs have the dtype of the network:

        - Classification: `probabilities` (n, n_out), and `labels`, int64 (n,).
        - Multilabel: `probabilities` (n, n_out), and `labels`, int64 (n, n_out), of 0 and 1.
        - Regression: `values` (n, n_out).

        They are what `forward` and `predict` return. The metadata of the file hold the task, the cost and the schema.

        Parameters
        ----------
        path : str or os.PathLike
            The file.
        x_dtype : str or dtype, optional
            The dtype of the input: "float32", "float64" or "uint8". A byte v stands for v * byte_scale. None: the dtype
            of the network.

        Raises
        ------
        MissingLibraryError
            The package onnx is missing (extra `onnx`).
        DataError
            The file cannot be written.
        ValueError
            x_dtype is another dtype, or the parameters take 2 GiB or more.

        Examples
        --------
        >>> import fastnet
        >>> fastnet.Network([4, 8, 3], seed=0).to_onnx("iris.onnx")
        """
        from fastnet.export import onnx_graph  # imported here, so that `import fastnet` stays light

        onnx_graph.write_network(path, self, self._buffer, x_dtype)
        if x_dtype is not None:
            self.warn_of_bytes(np.empty(0, x_dtype))

    def warn_of_bytes(self, *forms: object) -> None:
        """Warn once of bytes, if the network was trained on much larger floats."""
        raise NotImplementedError

    # -- PyTorch ---------------------------------------------------------------------------------------------

    def to_torch(self) -> Any:
        """Return a torch.nn.Sequential that computes the same as `forward`.

        The modules are a Linear for each layer, and its activation unless this is identity. The output layer's softmax
        or sigmoid is a module too. The modules have copies of the parameters and their dtype, lie on the CPU, and are
        in evaluation mode. Bytes are not scaled: give pixels as floats from 0 to 1.

        Returns
        -------
        torch.nn.Sequential
            A module that takes (n, n_in) and returns (n, n_out).

        Raises
        ------
        MissingLibraryError
            PyTorch is missing.

        Examples
        --------
        >>> import fastnet
        >>> fastnet.Network([4, 8, 3], seed=0).to_torch()
        Sequential(
          (0): Linear(in_features=4, out_features=8, bias=True)
          (1): ReLU()
          (2): Linear(in_features=8, out_features=3, bias=True)
          (3): Softmax(dim=-1)
        )
        """
        from fastnet.export import torch_modules  # imported here, since it imports PyTorch

        return torch_modules.to_torch(self, self._buffer)

    @classmethod
    def from_torch(
        cls,
        module: Any,
        *,
        output: Output | None = None,
        cost: Cost | CostObject | None = None,
        task: TaskName | None = None,
        byte_scale: float = c.PIXEL_SCALE,
    ) -> Self:
        """Return a network that computes the same as a PyTorch module.

        Parameters
        ----------
        module : torch.nn.Sequential
            Linear modules and activations: Sigmoid, ReLU, Tanh, LeakyReLU with a slope of 0.01, and Softmax as the last
            module. A Sequential may lie in another one. Identity and Dropout are ignored, since they do not change a
            prediction, and so is a Flatten at the start. A Linear without a bias gets biases of 0.
        output : str, optional
            The activation of the output layer if the module ends with a Linear, as classifiers of PyTorch mostly do:
            "softmax" after a training with CrossEntropyLoss, "sigmoid" after one with BCEWithLogitsLoss. None:
            "identity", a regression.
        cost, task, byte_scale
            As for `Network`. A module does not have them.

        Returns
        -------
        Network
            A network of the module's dtype, with a copy of its parameters.

        Raises
        ------
        MissingLibraryError
            PyTorch is missing.
        TypeError
            `module` is not a torch.nn.Module.
        ValueError
            A module is not understood, is in a wrong place or has hooks, the parameters are neither float32 nor
            float64, or the output, the cost and the task do not fit together. The error names the place of the module.

        Examples
        --------
        >>> import fastnet
        >>> from torch import nn
        >>> module = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10))
        >>> fastnet.Network.from_torch(module, output="softmax")
        <Network 784-16-10 relu, softmax, cross_entropy, 12,730 parameters, float32>
        """
        from fastnet.export import torch_modules

        parts = torch_modules.from_torch(module, output)
        own = {"cost": cost, "task": task, "byte_scale": byte_scale}
        return cls._made(parts.sizes, parts.parameters, parts.settings | own)

    # -- scikit-learn ----------------------------------------------------------------------------------------

    def to_sklearn(self, *, classes: Any = None) -> Any:
        """Return scikit-learn's MLPClassifier or MLPRegressor with this network, as after a fit of no epochs.

        The estimator has copies of the parameters and predicts the same. In scikit-learn a byte stands for its own
        value: give pixels as floats from 0 to 1. Two softmax outputs become one logistic output, whose weights are the
        differences of theirs: the probabilities are equal up to rounding. A single output or a label whose weighted
        sum is exactly 0 is class 1 here and class 0 in scikit-learn.

        Parameters
        ----------
        classes : array (n_classes,), optional
            The label of each class. None: the class names in `schema`, else the numbers 0, 1 and so on.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor
            An estimator with `predict`, `predict_proba`, `score` and `partial_fit`. Its hyperparameters are the
            defaults, except for the layers, the activation and the loss.

        Raises
        ------
        MissingLibraryError
            scikit-learn is missing.
        ValueError
            scikit-learn cannot express the network, or `classes` has not one label for each class. It has one of
            "identity", "sigmoid", "tanh" and "relu" for all hidden layers; softmax outputs, or one sigmoid output, for
            classes; sigmoid outputs for several labels; and identity or exponential outputs for a regression.

        Examples
        --------
        >>> import fastnet
        >>> model = fastnet.Network([4, 8, 3], seed=0).to_sklearn(classes=["setosa", "versicolor", "virginica"])
        >>> model.predict_proba([[0.1, 0.2, 0.3, 0.4]]).shape
        (1, 3)
        """
        from fastnet.export import sklearn_mlp  # imported here, since it imports fastnet.data, a lazy package

        return sklearn_mlp.to_sklearn(self, self._buffer, classes)

    @classmethod
    def from_sklearn(cls, mlp: Any) -> Self:
        """Return a network that computes the same as a fitted MLPClassifier or MLPRegressor.

        Parameters
        ----------
        mlp : MLPClassifier or MLPRegressor
            A fitted estimator of scikit-learn or of `fastnet.sklearn`. Of a Pipeline, give the last step: the network
            then takes what the steps before it return.

        Returns
        -------
        Network
            A network of the dtype of the weights, with a copy of them. A byte stands for its own value. `schema` has
            the names of the classes, unless these are the numbers 0, 1 and so on, and the names of the features. The
            cost is "cross_entropy", "half_squared_error" or "poisson".

        Raises
        ------
        TypeError
            `mlp` is something else.
        ValueError
            `mlp` is not fitted, or was fitted on one class only.

        Examples
        --------
        >>> import fastnet
        >>> from sklearn.neural_network import MLPClassifier
        >>> mlp = MLPClassifier((5,), solver="lbfgs").fit([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"])
        >>> network = fastnet.Network.from_sklearn(mlp)
        >>> network
        <Network 1-5-1 relu, sigmoid, cross_entropy, byte_scale 1, 16 parameters, float64>
        >>> network.schema.class_names
        ('a', 'b')
        """
        from fastnet.export import sklearn_mlp

        parts, schema = sklearn_mlp.from_sklearn(mlp)
        network = cls._made(parts.sizes, parts.parameters, parts.settings)
        network.schema = schema
        return network

    # -- C ---------------------------------------------------------------------------------------------------

    def to_c(self, path: str | os.PathLike[str] | None = None, *, name: str = "network") -> str:
        """Return the network as the source of one C99 file, for a microcontroller or another program.

        The file needs `math.h` and nothing else. Its functions allocate no memory, and several threads may call them.
        It also compiles as C++. Its outputs differ from those of `forward` only by rounding. A comment at its start
        describes the network and the use of the functions. Compiled with -DNETWORK_SELF_TEST it is a program that
        tests itself.

        Parameters
        ----------
        path : str or os.PathLike, optional
            The file to write. An existing file stays until the new one is complete. None: no file is written.
        name : str
            What the names in the file begin with, such as `network_forward` and `NETWORK_N_IN`.

        Returns
        -------
        str
            The source, in ASCII.

        Raises
        ------
        ValueError
            `name` is not a name of C, or a parameter of the network is not finite.
        DataError
            The file cannot be written.

        Examples
        --------
        >>> import fastnet
        >>> source = fastnet.Network([4, 8, 3], seed=0).to_c("iris.c", name="iris")
        >>> "int iris_predict(const float x[IRIS_N_IN]);" in source
        True
        """
        from fastnet.export import c_source  # imported here, since it imports fastnet.data, a lazy package

        return c_source.to_c(self, self._buffer, path, name)

    @classmethod
    def _made(
        cls, sizes: tuple[int, ...], parameters: Floats, settings: dict[str, Any], largest_input: float = 0.0
    ) -> Self:
        """Return a network with these parameters (n_parameters,). `settings` are keyword arguments of Network.

        `largest_input` is the largest absolute value of the floats that it was trained on; 0 if unknown.
        """
        raise NotImplementedError
