"""Optimizers: one function per update rule, which changes a parameter array w and its optimizer state in place.

A rule reads numbers from ``h``: the learning rate η as ``rate``, its hyperparameters, and numbers derived from them at
each step t, counted from 1. They are scalars, or ``(K, 1, 1)`` if the networks of a stack differ. A rule may overwrite
the gradient g and ``scratch``. Rules that are linear in g get ``step`` = η g in its place, because the pass multiplies
the output delta by `Optimizer.delta_scale`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlptrain.engine.arrays import Floats
from mlptrain.engine.network import Network
from mlptrain.engine.parameters import Parameters, make_blocks
from mlptrain.engine.state import State

Arrays = Sequence[Floats]

Numbers = Mapping[str, Any]


def sgd(w: Floats, step: Floats, state: Arrays, scratch: Floats, h: Numbers) -> None:
    """w ← w − η g (Robbins & Monro 1951)."""
    np.subtract(w, step, out=w)


def momentum(w: Floats, step: Floats, state: Arrays, scratch: Floats, h: Numbers) -> None:
    """v ← μ v − η g;  w ← w + v (Polyak 1964, in the form of Sutskever et al. 2013)."""
    (velocity,) = state
    velocity *= h["momentum"]
    velocity -= step
    w += velocity


def nesterov(w: Floats, step: Floats, state: Arrays, scratch: Floats, h: Numbers) -> None:
    """v ← μ v − η g;  w ← w + μ v − η g (Nesterov 1983, in the form of Sutskever et al. 2013)."""
    (velocity,) = state
    velocity *= h["momentum"]
    velocity -= step
    w -= step
    np.multiply(velocity, h["momentum"], out=step)
    w += step


def _descend(w: Floats, g: Floats, squares: Floats, scratch: Floats, h: Numbers) -> None:
    """w ← w − η g / (√s + ε)."""
    np.sqrt(squares, out=scratch)
    scratch += h["epsilon"]
    g /= scratch
    g *= h["rate"]
    w -= g


def adagrad(w: Floats, g: Floats, state: Arrays, scratch: Floats, h: Numbers) -> None:
    """s ← s + g²;  w ← w − η g / (√s + ε) (Duchi et al. 2011)."""
    (squares,) = state
    np.multiply(g, g, out=scratch)
    squares += scratch
    _descend(w, g, squares, scratch, h)


def rmsprop(w: Floats, g: Floats, state: Arrays, scratch: Floats, h: Numbers) -> None:
    """s ← ρ s + (1 − ρ) g²;  w ← w − η g / (√s + ε) (Tieleman & Hinton 2012, lecture 6.5)."""
    (squares,) = state
    np.multiply(g, g, out=scratch)
    scratch *= h["1-rho"]
    squares *= h["rho"]
    squares += scratch
    _descend(w, g, squares, scratch, h)


def adadelta(w: Floats, g: Floats, state: Arrays, scratch: Floats, h: Numbers) -> None:
    """s ← ρ s + (1 − ρ) g²;  d = √(u + ε) / √(s + ε) · g;  u ← ρ u + (1 − ρ) d²;  w ← w − η d (Zeiler 2012)."""
    squares, updates = state
    np.multiply(g, g, out=scratch)
    scratch *= h["1-rho"]
    squares *= h["rho"]
    squares += scratch
    np.add(updates, h["epsilon"], out=scratch)
    g *= np.sqrt(scratch, out=scratch)
    np.add(squares, h["epsilon"], out=scratch)
    g /= np.sqrt(scratch, out=scratch)
    np.multiply(g, g, out=scratch)
    scratch *= h["1-rho"]
    updates *= h["rho"]
    updates += scratch
    g *= h["rate"]
    w -= g


def adam(w: Floats, g: Floats, state: Arrays, scratch: Floats, h: Numbers) -> None:
    """m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  w ← w − η m̂ / (√v̂ + ε) (Kingma & Ba 2015, algorithm 1).

    m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ). The state contains M = m / (1 − β₁) and V = v / (1 − β₂), which saves two
    passes over the arrays; `_adam_numbers` corrects η and ε for that.
    """
    mean, squares = state
    mean *= h["beta1"]
    mean += g
    squares *= h["beta2"]
    g *= g
    squares += g
    np.sqrt(squares, out=g)
    g += h["scaled epsilon"]
    np.divide(mean, g, out=g)
    g *= h["scaled rate"]
    w -= g


def _adam_numbers(h: Numbers, t: int) -> dict[str, Any]:
    """η m̂ / (√v̂ + ε) = η r (1 − β₁) / (1 − β₁ᵗ) · M / (√V + r ε) with r = √((1 − β₂ᵗ) / (1 − β₂)); see `adam`."""
    root = np.sqrt((1 - h["beta2"] ** t) / (1 - h["beta2"]))
    share = (1 - h["beta1"]) / (1 - h["beta1"] ** t)
    return {"scaled epsilon": h["epsilon"] * root, "scaled rate": h["rate"] * share * root}


def nadam(w: Floats, g: Floats, state: Arrays, scratch: Floats, h: Numbers) -> None:
    """w ← w − η [μₜ₊₁ m / (1 − Πμ μₜ₊₁) + (1 − μₜ) g / (1 − Πμ)] / (√v̂ + ε): Adam with Nesterov's look-ahead.

    m, v and v̂ as in `adam`, μₜ = β₁ (1 − ½ · 0.96^(t/250)), and Πμ is the product of μ₁ to μₜ (Dozat 2016).
    """
    mean, squares = state
    mean *= h["beta1"]
    np.multiply(g, h["1-beta1"], out=scratch)
    mean += scratch
    np.multiply(g, g, out=scratch)
    scratch *= h["1-beta2"]
    squares *= h["beta2"]
    squares += scratch
    np.multiply(mean, h["mean rate"], out=scratch)
    g *= h["gradient rate"]
    g += scratch
    np.divide(squares, h["1-beta2^t"], out=scratch)
    np.sqrt(scratch, out=scratch)
    scratch += h["epsilon"]
    g /= scratch
    w -= g


def _nadam_numbers(h: Numbers, t: int) -> dict[str, Any]:
    def mu(step: Any) -> Any:
        return h["beta1"] * (1 - 0.5 * 0.96 ** (step * 0.004))

    product = mu(t) if t == 1 else h["product"] * mu(t)
    following = mu(t + 1)
    return {
        "product": product,
        "mean rate": h["rate"] * following / (1 - product * following),
        "gradient rate": h["rate"] * (1 - mu(t)) / (1 - product),
        "1-beta1": 1 - h["beta1"],
        "1-beta2": 1 - h["beta2"],
        "1-beta2^t": 1 - h["beta2"] ** t,
    }


def _rho_numbers(h: Numbers, t: int) -> dict[str, Any]:
    return {"1-rho": 1 - h["rho"]}


@dataclass(frozen=True)
class Rule:
    """An update rule, its number of state arrays, and the names of the hyperparameters that it reads.

    ``numbers(h, t)`` derives further numbers at each step; those named in ``carried`` depend on their values at the
    previous step. A ``linear`` rule gets η g instead of g. With ``decoupled`` decay the weights shrink before the rule:
    w ← w − η · decay · w.
    """

    update: Callable[[Floats, Floats, Arrays, Floats, Numbers], None]
    states: int
    hyperparameters: tuple[str, ...] = ()
    numbers: Callable[[Numbers, int], dict[str, Any]] | None = None
    linear: bool = False
    decoupled: bool = False
    carried: tuple[str, ...] = ()


OPTIMIZERS: dict[str, Rule] = {
    "sgd": Rule(sgd, 0, linear=True),
    "momentum": Rule(momentum, 1, ("momentum",), linear=True),
    "nesterov": Rule(nesterov, 1, ("momentum",), linear=True),
    "adagrad": Rule(adagrad, 1, ("epsilon",)),
    "adadelta": Rule(adadelta, 2, ("rho", "epsilon"), _rho_numbers),
    "rmsprop": Rule(rmsprop, 1, ("rho", "epsilon"), _rho_numbers),
    "adam": Rule(adam, 2, ("beta1", "beta2", "epsilon"), _adam_numbers),
    "adamw": Rule(adam, 2, ("beta1", "beta2", "epsilon", "decay"), _adam_numbers, decoupled=True),
    "nadam": Rule(nadam, 2, ("beta1", "beta2", "epsilon"), _nadam_numbers, carried=("product",)),
}


@dataclass(frozen=True)
class Penalties:
    """Strengths of penalties and bounds, one number per network ``(K,)``; 0 or an infinite bound has no effect.

    ``l1`` adds l1 Σ |w| to the cost and ``l2`` adds l2/2 Σ w², both over the weights only. ``clip_norm`` bounds the
    norm of the whole gradient of a network (Pascanu et al. 2013), ``max_norm`` the norm of the incoming weights of each
    unit after a step (Srivastava et al. 2014).
    """

    l1: Floats
    l2: Floats
    clip_norm: Floats
    max_norm: Floats


def no_penalties(members: int) -> Penalties:
    """Return penalties without effect."""
    return Penalties(np.zeros(members), np.zeros(members), np.full(members, np.inf), np.full(members, np.inf))


def _within(values: Floats, dtype: np.dtype) -> Floats:
    """Keep values between 0 and 1 distinct from both in ``dtype``, because rules divide by ε and by 1 − β."""
    limits = np.finfo(dtype)
    between = (values > 0) & (values < 1)
    return np.where(between, np.clip(values, limits.tiny, 1 - limits.epsneg), values).astype(np.float64)


# A step of the weights within the backward pass calls the BLAS library through ctypes, which takes 2 µs per layer. It
# saves a pass over weights and gradients: 784-128-10 at batch 64 becomes 1.1 to 1.25 times as fast, 16 networks
# 784-30-10 at batch 10 1.6 times; 784-30-10 alone gains nothing and 784-15-10 loses 7 %.
DESCENT_WEIGHTS = 32_768


class Optimizer:
    """An update rule with penalties, applied to the parameters of K networks step by step.

    Rules that are linear in the gradient need no pass that multiplies it by the learning rate: ``delta_scale``
    multiplies the output delta instead, the smallest array of a step. If ``descends`` is True, the backward pass has
    made the step w ← w − η g of the weights already, and ``update`` makes that of the other parameters.
    """

    def __init__(
        self,
        name: str,
        network: Network,
        hyperparameters: Mapping[str, Floats],
        penalties: Penalties | None = None,
        *,
        same_rates: bool = True,
        descend: bool = False,
    ) -> None:
        """Prepare the arrays; ``hyperparameters`` contains an array ``(K,)`` for each name that the rule reads.

        ``same_rates`` promises that the K networks have equal learning rates at every step, ``descend`` that the
        backward pass makes the step of the weights where the rule allows that.
        """
        self.rule = OPTIMIZERS[name]
        self.network = network
        self.penalties = penalties or no_penalties(network.members)
        shape = network.architecture, network.members, network.dtype, network.sizes
        self.gradients = Parameters(*shape)
        self.states = [Parameters(*shape) for _ in range(self.rule.states)]
        self.steps = 0
        values = {key: _within(hyperparameters[key], network.dtype) for key in self.rule.hyperparameters}
        values |= {"l1": self.penalties.l1, "l2": self.penalties.l2}
        self._penalized = bool(self.penalties.l1.any() or self.penalties.l2.any())
        self._clipped = bool(np.isfinite(self.penalties.clip_norm).any())
        self._bounded = bool(np.isfinite(self.penalties.max_norm).any())
        self._reads_rate = not self.rule.linear or self._penalized
        self._uniform = all((value == value[0]).all() for value in values.values())
        self._uniform &= same_rates or not self._reads_rate
        self._numbers: dict[str, Any] = {key: self._number(value) for key, value in values.items()}
        tensors = [network.parameters, self.gradients, *self.states]
        large = network.parameters.weight_entries >= DESCENT_WEIGHTS
        self.descends = descend and large and self.rule.update is sgd and not self._penalized and not self._clipped
        separate = self._penalized or self.rule.decoupled or self.descends
        self._blocks = make_blocks(tensors, uniform=self._uniform, separate_weights=separate)

    def _number(self, values: Floats) -> Any:
        """Convert one number per network to a scalar, if all are equal, or to ``(K, 1, 1)``."""
        dtype = self.network.dtype
        return dtype.type(values[0]) if self._uniform else values.astype(dtype).reshape(-1, 1, 1)

    def delta_scale(self, rates: Floats, batch_size: int) -> Any:
        """Return the factor of the output delta, ``(K, 1, 1)`` or a number, for learning rates ``rates`` ``(K,)``."""
        scale = (rates if self.rule.linear else np.ones_like(rates)) / batch_size
        scale = scale.astype(self.network.dtype)
        return scale.reshape(()) if len(scale) == 1 else scale.reshape(-1, 1, 1)

    def update(self, rates: Floats) -> None:
        """Make a step with the gradients of the backward pass, at learning rates ``rates`` ``(K,)``."""
        keep = self._begin_step(rates)
        rule, h = self.rule, self._numbers
        for (w, g, *states), scratch, is_weight in self._blocks:
            if is_weight and self.descends:
                continue
            if is_weight and keep is not None:
                w *= keep
            rule.update(w, g, states, scratch, h)
        if self._bounded:
            for weights in self.network.parameters.weights:
                self._bound(weights)

    def preview(self, rates: Floats) -> Parameters:
        """Replace the gradients by the changes that ``update`` would make, and return them; nothing else changes."""
        numbers, steps = dict(self._numbers), self.steps
        keep = self._begin_step(rates)
        for (w, g, *states), scratch, is_weight in self._blocks:
            after, *copies = (array.copy() for array in (w, *states))
            if keep is not None and is_weight:
                after *= keep
            self.rule.update(after, g, copies, scratch, self._numbers)
            np.subtract(after, w, out=g)
        if self._bounded:
            for weights, change in zip(self.network.parameters.weights, self.gradients.weights, strict=True):
                after = weights + change
                self._bound(after)
                np.subtract(after, weights, out=change)
        self._numbers, self.steps = numbers, steps
        return self.gradients

    def _begin_step(self, rates: Floats) -> Any:
        """Count the step, change the gradients by penalties and clipping, and return the factor of decoupled decay."""
        self.steps += 1
        rule, h = self.rule, self._numbers
        if self._reads_rate:
            h["rate"] = self._number(rates)
        if self._penalized:
            self._penalize()
        if self._clipped:
            self._clip(rates)
        if rule.numbers is not None:
            h.update(rule.numbers(h, self.steps))
        return 1 - h["rate"] * h["decay"] if rule.decoupled else None

    def state(self, member: int) -> State:
        """Return the state arrays of one network, the number of steps, and the carried numbers."""
        carried = {key: self._numbers.get(key) for key in self.rule.carried}
        return {
            "steps": self.steps,
            **{key: None if h is None else float(np.ravel(h)[member % np.size(h)]) for key, h in carried.items()},
            **{f"arrays{index}": array.read(member) for index, array in enumerate(self.states)},
        }

    def restore(self, states: Sequence[State]) -> None:
        """Continue from the states of all networks, which have the same number of steps."""
        self.steps = states[0]["steps"]
        for key in self.rule.carried:
            if states[0][key] is not None:
                self._numbers[key] = self._number(np.array([state[key] for state in states]))
        for index, array in enumerate(self.states):
            for member, state in enumerate(states):
                array.write(member, state[f"arrays{index}"])

    def _penalize(self) -> None:
        """g ← g + l1 sign(w) + l2 w for the weights; for linear rules the added terms are multiplied by η."""
        h = self._numbers
        factor = h["rate"] if self.rule.linear else self.network.dtype.type(1)
        for (w, g, *_), scratch, is_weight in self._blocks:
            if not is_weight:
                continue
            np.multiply(w, h["l2"] * factor, out=scratch)
            g += scratch
            if np.any(h["l1"]):
                np.sign(w, out=scratch)
                scratch *= h["l1"] * factor
                g += scratch

    def _clip(self, rates: Floats) -> None:
        """g ← g · min(1, clip_norm / ‖g‖), with the norm over all parameters of a network."""
        squares = sum(np.einsum("koi,koi->k", g, g, dtype=np.float64) for g in self.gradients.arrays)
        # A schedule may have reduced a rate to 0; then η g is 0 too, and needs no clipping.
        norms = np.sqrt(squares) / (np.where(rates > 0, rates, 1) if self.rule.linear else 1.0)
        bounds = self.penalties.clip_norm
        over = norms > bounds
        if over.any():
            factors = np.divide(bounds, norms, out=np.ones_like(norms), where=over)
            for g in self.gradients.arrays:
                g *= factors.astype(self.network.dtype).reshape(-1, 1, 1)

    def _bound(self, weights: Floats) -> None:
        """w ← w · min(1, max_norm / ‖w‖) for the incoming weights w of each unit in ``weights`` (K, out, in)."""
        bounds = self.penalties.max_norm.reshape(-1, 1)
        norms = np.sqrt(np.einsum("koi,koi->ko", weights, weights))
        over = norms > bounds
        if over.any():
            factors = np.divide(bounds, norms, out=np.ones(norms.shape), where=over)
            weights *= factors.astype(weights.dtype)[:, :, np.newaxis]
