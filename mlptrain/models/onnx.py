"""Models in the ONNX format: dense layers and activations in operators that runtimes have supported since 2019."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlptrain import __version__
from mlptrain.engine.activations import GELU_CUBIC, GELU_SCALE, LEAKY_RELU_SLOPE, SELU_ALPHA, SELU_SCALE
from mlptrain.errors import UsageError
from mlptrain.models.model import Model
from mlptrain.system.extras import require_extra
from mlptrain.system.files import write_atomic

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

OPSET, IR_VERSION = 11, 6

INPUT, OUTPUT = "pixels", "probabilities"

MAX_PARAMETERS = 500_000_000  # protocol buffers hold at most 2 GB

Step = tuple[str, tuple[str, ...], str, dict[str, float]]
"""A node of the graph: operator, inputs, output, attributes. An input that begins with = is a number, any other one is
the name of a tensor."""


def _single(operator: str, **attributes: float) -> Callable[[str, str], list[Step]]:
    return lambda z, a: [(operator, (z,), a, attributes)]


def _silu(z: str, a: str) -> list[Step]:
    return [("Sigmoid", (z,), f"{a}_gate", {}), ("Mul", (z, f"{a}_gate"), a, {})]


def _gelu(z: str, a: str) -> list[Step]:
    """Return the nodes of a = z σ(2u) with u = √(2/π) (z + 0.044715 z³), which equals ½ z (1 + tanh u)."""
    return [
        ("Mul", (z, z), f"{a}_square", {}),
        ("Mul", (f"{a}_square", f"={2 * GELU_SCALE * GELU_CUBIC}"), f"{a}_cubic", {}),
        ("Add", (f"{a}_cubic", f"={2 * GELU_SCALE}"), f"{a}_slope", {}),
        ("Mul", (f"{a}_slope", z), f"{a}_twice", {}),
        ("Sigmoid", (f"{a}_twice",), f"{a}_gate", {}),
        ("Mul", (z, f"{a}_gate"), a, {}),
    ]


FUNCTIONS: dict[str, Callable[[str, str], list[Step]]] = {
    "sigmoid": _single("Sigmoid"),
    "tanh": _single("Tanh"),
    "relu": _single("Relu"),
    "leaky_relu": _single("LeakyRelu", alpha=LEAKY_RELU_SLOPE),
    "elu": _single("Elu", alpha=1.0),
    "selu": _single("Selu", alpha=SELU_ALPHA, gamma=SELU_SCALE),
    "gelu": _gelu,
    "silu": _silu,
    "softplus": _single("Softplus"),
    "linear": _single("Identity"),
    "softmax": _single("Softmax", axis=1),
}
"""The nodes of each activation and output function, given the names of the tensors z and a."""


def write_onnx(path: Path, model: Model, metadata: Mapping[str, Any]) -> None:
    """Write ``model`` as ONNX: ``pixels`` float32 (N, inputs) in [0, 1] to ``probabilities`` float32 (N, classes).

    Parameters of float64 models are rounded to float32.

    Raises
    ------
    UsageError
        The library is not installed, or ONNX cannot hold the model.
    DataError
        The file cannot be written.
    """
    require_extra("onnx", "onnx", "writing ONNX")
    import onnx

    proto = onnx_model(model, metadata)
    onnx.checker.check_model(proto, full_check=True)
    write_atomic(path, lambda stream: stream.write(proto.SerializeToString(deterministic=True)))


def onnx_model(model: Model, metadata: Mapping[str, Any]) -> ModelProto:
    """Return the model as a protocol buffer of ONNX.

    Raises
    ------
    UsageError
        The model has too many parameters or an activation that `FUNCTIONS` lacks.
    """
    from onnx import TensorProto, helper, numpy_helper

    architecture = model.architecture
    if architecture.parameter_count > MAX_PARAMETERS:
        found = f"{architecture.parameter_count:,} parameters; ONNX files hold at most {MAX_PARAMETERS:,}"
        raise UsageError(f"the model has {found}\nhint: export it with --format npz")
    if architecture.activation not in FUNCTIONS:
        raise UsageError(f"ONNX has no activation {architecture.activation}\nhint: export the model with --format npz")
    sizes = architecture.layers
    nodes, constants = [], {}
    tensor = INPUT
    for layer, (weights, biases) in enumerate(zip(model.weights, model.biases, strict=True), start=1):
        last = layer == len(model.weights)
        constants[f"W{layer}"], constants[f"b{layer}"] = weights, biases
        nodes.append(
            helper.make_node("Gemm", [tensor, f"W{layer}", f"b{layer}"], [f"z{layer}"], f"layer{layer}", transB=1)
        )
        tensor = OUTPUT if last else f"a{layer}"
        name = architecture.output if last else architecture.activation
        nodes += _nodes(FUNCTIONS[name](f"z{layer}", tensor), constants)
    graph = helper.make_graph(
        nodes,
        "mlptrain",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", sizes[0]])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", sizes[-1]])],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    proto = helper.make_model(
        graph,
        producer_name="mlptrain",
        producer_version=__version__,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    known = {key: value for key, value in metadata.items() if value is not None}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in known.items()}
    helper.set_model_props(proto, texts)
    return proto


def _nodes(steps: list[Step], constants: dict[str, NDArray[Any]]) -> Iterator[NodeProto]:
    """Yield the ONNX nodes of ``steps``, and add the numbers among their inputs to ``constants``."""
    from onnx import helper

    for operator, inputs, output, attributes in steps:
        for name in inputs:
            if name.startswith("="):
                constants[name] = np.array(float(name[1:]))
        node = helper.make_node(operator, list(inputs), [output], f"{operator.lower()}_{output}")
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        yield node
