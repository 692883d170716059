"""What an exported model says of itself, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass

from mlptrain import __version__
from mlptrain.model import Model

PIXEL_SCALE = 255


@dataclass(frozen=True)
class About:
    """``test_accuracy`` is the run's, None where it is not known."""

    class_names: tuple[str, ...]
    activation: str
    output: str
    loss: str
    dataset: str | None
    test_accuracy: float | None
    made_by: str = f"mlptrain {__version__}"
    pixel_scale: int = PIXEL_SCALE


def about(model: Model, test_accuracy: float | None) -> About:
    """What there is to say of a model."""
    functions, dataset = model.architecture, model.config.get("dataset")
    return About(
        model.class_names,
        functions.activation,
        functions.output,
        functions.loss,
        None if dataset is None else str(dataset),
        test_accuracy,
    )
