"""What a run encodes new items with: pictures or words in, the values whose signs are codes out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from distill import image_encoder
from distill.checkpoint import Run
from distill.encoders import Encoder, load_encoder
from distill.heads import build_heads, head_output
from distill.image_encoder import ImageEncoder, Model
from distill.item_files import Kind
from distill.types import DistillError


@dataclass(frozen=True)
class ItemEncoder:
    """An encoder and the head of one modality.

    Attributes:
        encoder: loaded, or to be loaded with the first item.
        head: features -> values (n, n_bits).
        kind: what it takes.
        name: the modality; of runs that hash images alone, the model.
        identity: changes whenever the features would.
    """

    encoder: Encoder | ImageEncoder
    head: nn.Module
    kind: Kind
    name: str
    identity: str

    def __call__(
        self, items: Iterable[Any], *, done: Callable[[int], object] | None = None
    ) -> Tensor:
        """RGB images, or texts, to values (n, n_bits) float32, bit = value > 0.

        Args:
            items: at least one, read one batch at a time.
            done: called after each batch with its size.
        """
        if self.kind == "image":
            return head_output(self.head, self.encoder.encode_images(items, done=done))
        assert isinstance(self.encoder, Encoder)
        return head_output(self.head, self.encoder.encode_texts(items, done=done))


def open_item_encoder(
    run: Run, kind: Kind, *, modality: str | None = None, model: Model | None = None
) -> ItemEncoder:
    """Open a run's encoder of pictures or of words.

    Args:
        run: finished.
        kind: what it is to take.
        modality: whose head encodes, of an image-text run; None: that of images or of texts.
        model: of a run that hashes images alone; None: the student where there is one.

    Raises:
        DistillError: the run has no such thing.
    """
    images_alone = run.config.method in image_encoder.METHODS
    if images_alone and kind == "text":
        raise DistillError(
            f"texts: expected a run that encodes texts, got the {run.config.method} run "
            f"{run.path}, which encodes images alone; give --images"
        )
    if (modality if images_alone else model) is not None:
        name = "as" if images_alone else "model"
        raise DistillError(f"{name}: expected none for a {run.config.method} run; leave it out")
    if images_alone:
        encoder = ImageEncoder(run, model)
        return ItemEncoder(encoder, encoder.head, kind, encoder.model, encoder.backbone.identity)
    modality = modality or kind
    run.check_encodes(modality, kind)
    head = build_heads(*run.weights())[modality]
    towers = load_encoder(run.config.encoder, tuned=run.tuned_weights())
    return ItemEncoder(towers, head, kind, modality, towers.identity)
