"""Label prompts: the labels of an item as text, SODA's third modality."""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor
from torch.nn import functional

from distill.types import DistillError

PromptStyle = Literal["sentence", "set", "bare", "multihot"]


def prompt_features(
    labels: Tensor,
    names: Sequence[str],
    encode: Callable[[list[str]], Tensor],
    *,
    style: PromptStyle = "sentence",
    template: str = "a photo of {}",
) -> Tensor:
    """Features of the label prompt of each item.

    "sentence" is one text that lists the names, "a photo of clouds, sky and tree"; "bare" is the
    names joined by blanks; "set" is one "a photo of sky" per name, encoded, L2-normalised, averaged
    and normalised again. Names are in dataset order. "multihot" is the label vector itself, as a
    label network without words sees it (SSAH).

    Args:
        labels: (n, n_labels) 0 or 1, at least one 1 in every row.
        names: the n_labels label names; underscores become blanks.
        encode: texts to features (n_texts, d).
        style: see above.
        template: the text around the names, {} stands for them.

    Returns:
        (n, d) float32; (n, n_labels) of "multihot".
    """
    check_labelled(labels)
    if style == "multihot":
        return labels.float()
    if style == "set":
        prompts = [template.format(name.replace("_", " ")) for name in names]
        single = functional.normalize(encode(prompts), dim=1)
        return functional.normalize(labels.to(single.dtype) @ single, dim=1)
    return encode(label_prompts(labels, names, style=style, template=template))


def check_labelled(labels: Tensor) -> None:
    """Refuse rows without a label, of which there is no prompt.

    Raises:
        DistillError: there is such a row.
    """
    without = int((~labels.any(dim=1)).sum())
    if without:
        raise DistillError(
            f"labels: expected at least one for every training item, got none for {without:,} of "
            f"{len(labels):,}; label them, leave them out, or take --method contrastive, which "
            "reads none"
        )


def label_prompts(
    labels: Tensor,
    names: Sequence[str],
    *,
    style: Literal["sentence", "bare"] = "sentence",
    template: str = "a photo of {}",
) -> list[str]:
    """One text per row of `labels` (n, n_labels); see `prompt_features`."""
    clean = [name.replace("_", " ") for name in names]
    prompts = []
    for row in labels:
        mine = [clean[j] for j in row.nonzero().flatten().tolist()]
        if style == "bare":
            prompts.append(" ".join(mine))
        else:
            listed = " and ".join([", ".join(mine[:-1]), mine[-1]] if len(mine) > 1 else mine)
            prompts.append(template.format(listed))
    return prompts
