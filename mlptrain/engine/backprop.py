"""Backpropagation: the forward and backward pass of a training step, through K networks at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.arrays import Floats
from mlptrain.engine.dropout import Dropout
from mlptrain.engine.losses import PAIRINGS
from mlptrain.engine.network import Network
from mlptrain.engine.normalization import BatchNorm
from mlptrain.engine.parameters import Parameters, empty_aligned, lean
from mlptrain.engine.products import Descent, multiplication

Timed = Callable[[str, Callable[..., Any]], Callable[..., Any]]
"""A function ``timed(phase, function)`` that returns ``function`` with its calls timed as part of a phase."""


def untimed(phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` itself, without a timer."""
    return function


def _masks(network: Network) -> list[Floats | None]:
    """Return the masks of the hidden layers; None where padding stays 0 without one, because f(0) = 0."""
    at_zero = np.zeros(1, network.dtype)
    ACTIVATIONS[network.architecture.activation].apply(at_zero, np.zeros_like(at_zero))
    masks = network.masks()
    return masks if at_zero.any() else [None] * len(masks)


class HiddenLayer:
    """The arrays of a hidden layer between forward and backward pass, for batches of one size."""

    def __init__(
        self,
        network: Network,
        index: int,
        gradients: Parameters,
        delta: Floats,
        dropout: Dropout | None,
        mask: Floats | None,
        timed: Timed,
        keep_z: bool,
    ) -> None:
        architecture, parameters, statistics = network.architecture, network.parameters, network.statistics
        self.delta = delta
        self.a = empty_aligned(delta.shape, delta.dtype)
        self.scratch = np.empty_like(delta)
        self.bias = lean(parameters.biases[index])
        self.normalize: Callable[..., None] | None = None
        self.normalize_backward: Callable[..., None] | None = None
        self.norm_gradients: tuple[Floats, ...] = ()
        if architecture.batch_norm:
            gains, means, variances = parameters.gains[index], statistics.means[index], statistics.variances[index]
            norm = BatchNorm(lean(gains), self.bias, lean(means), lean(variances), delta.shape[-1])
            self.normalize = timed("normalisation", norm.forward)
            self.normalize_backward = timed("normalisation", norm.backward)
            self.norm_gradients = lean(gradients.gains[index]), lean(gradients.biases[index])
        from_output = ACTIVATIONS[architecture.activation].from_output
        self.z = None if from_output and not keep_z else np.empty_like(self.a)
        self.backward_input = self.a if from_output or self.z is None else self.z
        self.draw_mask = None if dropout is None else timed("dropout", dropout.draw)
        self.mask: Floats | None = None
        # Without it, the weights from padding to the next layer would get a gradient from f(0), such as σ(0) = 0.5.
        self.units = None if mask is None else lean(mask)
        # The input of the next layer: the activations, or a copy with the dropped units set to 0.
        self.out = self.a if dropout is None else np.empty_like(self.a)
        self.out_transposed = self.out.swapaxes(-1, -2)


class TrainingPass:
    """The forward and backward pass for batches of one size; a step allocates nothing but views.

    ``dropout`` has one entry per hidden layer, ``input_dropout`` is for the pixels; None means no dropout. With
    ``descend`` the backward pass changes the weights itself (see `backward`). With ``keep_z`` the weighted inputs of
    hidden layers are kept for every activation. For a single network all arrays have two dimensions (see `lean`), and
    the code below works for both shapes.
    """

    def __init__(
        self,
        network: Network,
        batch_size: int,
        gradients: Parameters,
        dropout: Sequence[Dropout | None] = (),
        input_dropout: Dropout | None = None,
        timed: Timed = untimed,
        keep_z: bool = False,
        descend: bool = False,
    ) -> None:
        architecture, members, dtype = network.architecture, network.members, network.dtype
        layers, parameters = architecture.layers, network.parameters
        depth = len(layers) - 1
        self.flat_product = timed("products", multiplication())
        self.product = self.flat_product if members == 1 else timed("products", np.matmul)
        activation = ACTIVATIONS[architecture.activation]
        self.apply = timed("activations", activation.apply)
        self.apply_backward = timed("activations", activation.backward)
        self.output_delta = timed("activations", PAIRINGS[architecture.loss, architecture.output].delta)
        drops = list(dropout) or [None] * (depth - 1)
        rows = np.cumsum([members * units for units in layers[1:]])
        all_deltas = empty_aligned((rows[-1], batch_size), dtype)
        *deltas, self.delta = [
            lean(piece.reshape(members, -1, batch_size)) for piece in np.split(all_deltas, rows[:-1])
        ]
        self.hidden = [
            HiddenLayer(network, index, gradients, deltas[index], drops[index], mask, timed, keep_z)
            for index, mask in enumerate(_masks(network))
        ]
        self.scratch = np.empty_like(self.delta)
        self.column = lean(np.empty((members, 1, batch_size), dtype))
        self.ones = np.ones((batch_size, 1), dtype)
        self.draw_input_mask = None if input_dropout is None else timed("dropout", input_dropout.draw)
        self.dropped_input = None
        if input_dropout is not None:
            self.dropped_input = lean(np.empty((members, batch_size, layers[0]), dtype))
        weights = [lean(weights) for weights in parameters.weights]
        weight_gradients = [lean(weights) for weights in gradients.weights]
        self.output_bias = lean(parameters.biases[-1])
        # The deltas of all layers have the order of their biases in ``gradients.flat``, so that one product sums them.
        # Normalised layers sum their own deltas.
        first = rows[-2] if architecture.batch_norm and self.hidden else 0
        self.summed_deltas = all_deltas[first:]
        self.summed_gradients = gradients.flat[gradients.weight_entries :][first : rows[-1], np.newaxis]
        # One product computes the first layer of all K networks: (K·out, in) times (in, batch).
        self.weights = weights[0]
        self.flat_weights = weights[0].reshape(-1, layers[0])
        self.flat_z = self.hidden[0].a.reshape(-1, batch_size) if self.hidden else None
        # Each hidden layer, the weights above it, and the array for their product; None for the logits.
        above = [*(layer.a for layer in self.hidden[1:]), None]
        self.upward = list(zip(self.hidden, weights[1:], above, strict=False))
        transposed = [layer_weights.swapaxes(-1, -2) for layer_weights in weights[1:]]

        def weight_step(delta: Floats, weights: Floats, gradient: Floats) -> Callable[[Floats], object]:
            """Return a function of aᵀ that computes δ·aᵀ: the gradient, or a step of descent."""
            if descend:
                return timed("products", Descent(delta, weights, gradient))
            return partial(self.flat_product if delta.ndim == 2 else self.product, delta, out=gradient)

        first_delta, *upper_deltas = [*deltas, self.delta]
        steps = map(weight_step, upper_deltas, weights[1:], weight_gradients[1:])
        self.downward = list(zip(self.hidden, transposed, steps, strict=True))[::-1]
        if self.dropped_input is None:
            flat_gradient = weight_gradients[0].reshape(-1, layers[0])
            self.first_step = weight_step(first_delta.reshape(-1, batch_size), self.flat_weights, flat_gradient)
        else:
            self.first_step = weight_step(first_delta, self.weights, weight_gradients[0])

    def forward(self, x: Floats, logits: Floats) -> None:
        """Write the weighted inputs of the output units for ``x`` (batch, inputs) into ``logits`` (K, classes, batch).

        For each hidden layer z = W·a + b, or z = γ ẑ + β with normalisation, then a = f(z), then dropout.
        """
        product, logits = self.product, lean(logits)
        self._first_product(x, logits)
        for layer, weights, above in self.upward:
            z = layer.a
            if layer.normalize is None:
                z += layer.bias
            else:
                layer.normalize(z)
            if layer.z is not None:
                np.copyto(layer.z, z)
            self.apply(z, layer.scratch)
            if layer.units is not None:
                z *= layer.units
            if layer.draw_mask is not None:
                layer.mask = lean(layer.draw_mask())
                np.multiply(z, layer.mask, out=layer.out)
            product(weights, layer.out, out=logits if above is None else above)
        logits += self.output_bias

    def _first_product(self, x: Floats, logits: Floats) -> None:
        """Compute W·x of the first layer; with input dropout each network has its own x."""
        if self.draw_input_mask is None or self.dropped_input is None:
            flat_z = logits.reshape(-1, len(x)) if self.flat_z is None else self.flat_z
            self.flat_product(self.flat_weights, x.T, out=flat_z)
            return
        np.multiply(x, lean(self.draw_input_mask()), out=self.dropped_input)
        z = self.hidden[0].a if self.hidden else logits
        self.product(self.weights, self.dropped_input.swapaxes(-1, -2), out=z)

    def backward(self, x: Floats, y: Floats, logits: Floats, scale: Floats | float) -> None:
        """Write the gradients for the batch of the last ``forward`` (Nielsen, eq. BP1 to BP4).

        For each layer from the output down, δ = (Wᵀ·δ) f′(z) with W and δ of the layer above; the gradient of the
        weights is δ·aᵀ with a of the layer below, that of the biases the sum of δ over the batch. With ``descend`` the
        gradients of the weights are subtracted from the weights at once and not kept.

        ``y`` contains the targets (classes, batch) or (K, classes, batch). The loss is the *sum* over the batch times
        ``scale``, a number or (K, 1, 1): with 1/batch the gradients are those of the mean loss, with rate/batch the
        steps of gradient descent.
        """
        product, delta = self.product, self.delta
        if y.ndim == 3:
            y = lean(y)
        self.output_delta(lean(logits), y, delta, self.scratch, self.column)
        delta *= scale
        for layer, transposed_weights, weight_step in self.downward:
            product(transposed_weights, delta, out=layer.delta)
            weight_step(layer.out_transposed)
            delta = layer.delta
            if layer.mask is not None:
                delta *= layer.mask
            self.apply_backward(delta, layer.backward_input, layer.scratch)
            if layer.normalize_backward is not None:
                layer.normalize_backward(delta, layer.scratch, *layer.norm_gradients)
        self.first_step(x if self.dropped_input is None else self.dropped_input)
        # A product with ones sums the rows of 512 × 128 deltas in 3.6 µs; np.add.reduce takes 15.8.
        self.flat_product(self.summed_deltas, self.ones, out=self.summed_gradients)
