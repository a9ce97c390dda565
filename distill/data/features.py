"""Pairs that are features already, in one of four layouts.

A folder of arrays, divided by `--protocol` or at random:

    image.npy, text.npy    (n, d) features
    labels.npy             (n, n_labels), each 0 or 1, or (n), the number of the one class of each,
                           at least 0
    classes.txt            a name of a label a line, where there is one; numbers count its lines
                           from 0

A folder of arrays that are divided, as SKDCH and SCH-GAN keep XMedia. Test pairs are the queries;
the training pairs and, where there are some, the "semi" pairs after them are the database. What
"semi" pairs are labelled with is read like other labels: which of them a method may see is its own
setting.

    img_PART.npy                      (n, d) features, for PART in train, semi and test
    texts_PART.npy or txt_PART.npy    (n, d) features
    labels_PART_img.npy, labels_PART_txt.npy    labels as above, equal to each other
    classes.txt                       as above

A .mat file (v5 or HDF5) with `image`, `text` and `labels` as above, or one that is divided, with
`I_tr`, `T_tr`, `L_tr` for the database and `I_te`, `T_te`, `L_te` for the queries.

classes.txt beside the file names the labels here too.

MATLAB has no vectors. Labels (1, n) of n > 1 pairs are class numbers, and so are labels (n, 1) if
there is one beyond 0 and 1; of (n, 1) with 0 and 1 alone, that column is the only label. Labels
without names have numbers.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.data import arrays, matfile
from distill.data.base import ImageTextDataset, Text
from distill.data.images import NoImages
from distill.data.pairs import Pairs, dataset_of
from distill.data.protocols import PublishedSplit, SplitRule
from distill.types import DistillError

Triple = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]
"""Image features, text features and labels of some pairs."""
_N_CLASSES = 2**31
_PARTS = ("train", "semi", "test")


def load(
    root: Path | None = None, *, path: Path | None = None, text: Text, split: SplitRule
) -> ImageTextDataset:
    """Read a folder or a file; `registry.load` describes the settings.

    Raises:
        DistillError: neither or both are given, or they are not as they should be.
    """
    if root is not None and path is None:
        place, name, pairs = root, root.resolve().name, _read_folder(root)
    elif path is not None and root is None:
        place, name, pairs = path, path.stem, _read_file(path)
    else:
        raise DistillError(
            "root: expected a folder of arrays, or a .mat file as path, for data features, got "
            f"{'both' if root else 'neither'}; give --root or --path"
        )
    if pairs.said is not None and isinstance(split, PublishedSplit):
        raise DistillError(
            f"protocol: expected none for the features in {place}, which come with their own "
            f"queries, got {split.name}; leave it out"
        )
    dims = {modality: values.shape[1] for modality, values in pairs.features.items()}
    return dataset_of(
        name,
        pairs,
        where=str(place),
        fields=f"image and text = the given features, {dims['image']} and {dims['text']} numbers, "
        f"labels = the {pairs.labels.shape[1]} given ones",
        split=split,
        text=text,
        bad_images="refuse",
    )


def _read_folder(root: Path) -> Pairs:
    if not (root / "img_train.npy").is_file():
        whole = _triple(lambda name: arrays.read_npy(root / f"{name}.npy"), str(root))
        return _pairs([whole], None, root)
    there = [part for part in _PARTS if part != "semi" or (root / "img_semi.npy").is_file()]
    triples = [_read_part(root, part) for part in there]
    return _pairs(triples, ["query" if part == "test" else "train" for part in there], root)


def _read_part(root: Path, part: str) -> Triple:
    stem = "texts" if (root / f"texts_{part}.npy").is_file() else "txt"
    files = {"image": f"img_{part}", "text": f"{stem}_{part}", "labels": f"labels_{part}_img"}
    triple = _triple(lambda name: arrays.read_npy(root / f"{files[name]}.npy"), f"{root}, {part}")
    other = root / f"labels_{part}_txt.npy"
    if not np.array_equal(triple[2], arrays.read_npy(other)):
        raise DistillError(
            f"{other}: expected the labels of labels_{part}_img.npy, as texts and pictures are "
            "pairs, got others; take files that belong together"
        )
    return triple


def _read_file(path: Path) -> Pairs:
    def of_part(part: str) -> Triple:
        keys = {"image": f"I_{part}", "text": f"T_{part}", "labels": f"L_{part}"}
        return _triple(lambda name: matfile.read_mat(path, keys[name]), f"{path}, {part}")

    if "I_tr" in matfile.mat_variables(path):
        return _pairs([of_part("tr"), of_part("te")], ["train", "query"], path)
    return _pairs([_triple(lambda name: matfile.read_mat(path, name), str(path))], None, path)


def _triple(read: Callable[[str], Any], where: str) -> Triple:
    image, text = (arrays.features(read(name), f"{where}, {name}") for name in ("image", "text"))
    labels = np.asarray(read("labels"))
    if labels.ndim not in (1, 2):
        raise DistillError(
            f"{where}, labels: expected labels 0 or 1, (n, n_labels), or class numbers (n), got "
            f"{labels.dtype} {labels.shape}; store them so"
        )
    if labels.shape == (1, len(image)) and len(image) > 1:
        labels = labels[0]
    counts = {"image": image, "text": text, "labels": labels}
    arrays.check_counts({f"{where}, {name}": len(values) for name, values in counts.items()})
    return image, text, labels


def _pairs(triples: Sequence[Triple], said: Sequence[str] | None, place: Path) -> Pairs:
    """Join the parts; names of the classes may be in the folder, or beside the file, `place`."""
    image, text, labels = zip(*triples, strict=True)
    if _are_classes(labels):
        labels = tuple(part.ravel() for part in labels)
    for modality, parts in (("image", image), ("text", text), ("labels", labels)):
        shapes = {part.shape[1:] for part in parts}
        if len(shapes) > 1:
            raise DistillError(
                f"{modality}: expected equally many columns in all parts, got "
                f"{' and '.join(str(part.shape) for part in parts)}; take files that belong "
                "together"
            )
    matrix, names, named = _labels(np.concatenate(labels), place)
    words = None
    if said is not None:
        words = [word for word, part in zip(said, image, strict=True) for _ in range(len(part))]
    digits = len(str(len(matrix) - 1))
    return Pairs(
        NoImages(tuple(f"row {i:0{digits}d}" for i in range(len(matrix)))),
        matrix,
        names,
        features={"image": np.concatenate(image), "text": np.concatenate(text)},
        said=words,
        named=named,
    )


def _are_classes(parts: Sequence[NDArray[Any]]) -> bool:
    """Whether labels are columns, or vectors, of class numbers in all parts."""
    if any(part.ndim == 2 and part.shape[1] != 1 for part in parts):
        return False
    return any(part.ndim == 1 or not np.isin(part, (0, 1)).all() for part in parts)


def _labels(
    labels: NDArray[Any], place: Path
) -> tuple[NDArray[np.bool_], Sequence[str] | None, bool]:
    """Labels (n, n_labels), their names if they have any, and whether those are words."""
    where = f"{place}, labels"
    file = (place if place.is_dir() else place.parent) / "classes.txt"
    if labels.ndim != 1:
        matrix = arrays.label_matrix(labels, where)
        return matrix, arrays.class_names(file, matrix.shape[1]), True
    if labels.dtype.kind not in "fiub" or not _whole(labels):
        raise DistillError(
            f"{where}: expected labels 0 or 1, (n, n_labels), or class numbers (n) of at least 0 "
            f"and below {_N_CLASSES:,}, got {labels.dtype} {labels.shape} with others; correct them"
        )
    numbers = labels.astype(np.int64)
    found = np.unique(numbers)
    names = arrays.class_names(file)
    if names is None:
        return numbers[:, None] == found, arrays.numbered(found.tolist()), False
    if found[-1] >= len(names):
        raise DistillError(
            f"{where}: expected class numbers below {len(names)}, the lines of classes.txt counted "
            f"from 0, got {found[-1]}; correct one"
        )
    return numbers[:, None] == np.arange(len(names)), names, True


def _whole(numbers: NDArray[Any]) -> bool:
    """Whether all can be class numbers."""
    if not ((numbers >= 0) & (numbers < _N_CLASSES)).all():  # false of NaN too
        return False
    return bool((numbers.astype(np.int64) == numbers).all())
