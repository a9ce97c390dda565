"""Pairs, and items of more modalities, that are features already, in one of four layouts.

A folder of arrays, divided by `--protocol` or at random:

    image.npy, text.npy    (n, d) features
    NAME.npy               features of a further modality, as audio.npy
    labels.npy             (n, n_labels), each 0 or 1, or (n), the number of the one class of each,
                           at least 0
    classes.txt            a name of a label a line, where there is one; numbers count its lines
                           from 0

A folder of arrays that are divided, as SKDCH and SCH-GAN keep XMedia. Test items are the queries;
the training items and, where there are some, the "semi" items after them are the database. "semi"
items are the unlabelled ones: their labels are read like others, and kept from every method.

    img_PART.npy                      (n, d) features, for PART in train, semi and test
    texts_PART.npy or txt_PART.npy    (n, d) features
    NAME_PART.npy                     features of a further modality, as audio_train.npy
    labels_PART_img.npy, labels_PART_txt.npy    labels as above, equal to each other
    classes.txt                       as above

Row i of every array is of item i, and a row of NaN alone stands for what an item lacks: so unpaired
items are written. Image and text are used, and others where `--modalities` names them.

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
from distill.data.modalities import choose, is_name
from distill.data.pairs import Pairs, dataset_of
from distill.data.protocols import PublishedSplit, SplitRule
from distill.modalities import MODALITIES
from distill.types import DistillError
from distill.words import listed

Arrays = dict[str, NDArray[Any]]
"""Of some items: modality -> (n, d) float32 features, and "labels"."""
_N_CLASSES = 2**31
_WORDS = {"train": "train", "semi": "unlabelled", "test": "query"}
"""Part of a divided folder -> what it says of its items."""
_TEXTS = ("texts", "txt")


def load(
    root: Path | None = None,
    *,
    path: Path | None = None,
    text: Text,
    split: SplitRule,
    modalities: Sequence[str] | None = None,
) -> ImageTextDataset:
    """Read a folder or a file; `registry.load` describes the settings.

    Raises:
        DistillError: neither or both are given, or they are not as they should be.
    """
    if root is not None and path is None:
        place, name, pairs = root, root.resolve().name, _read_folder(root, modalities)
    elif path is not None and root is None:
        place, name, pairs = path, path.stem, _read_file(path, modalities)
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
    dims = [str(pairs.features[modality].shape[1]) for modality in pairs.chosen]
    return dataset_of(
        name,
        pairs,
        where=str(place),
        fields=f"{listed(pairs.chosen)} = the given features, {listed(dims)} numbers, "
        f"labels = the {pairs.labels.shape[1]} given ones",
        split=split,
        text=text,
        bad_images="refuse",
    )


def _read_folder(root: Path, wanted: Sequence[str] | None) -> Pairs:
    divided = (root / "img_train.npy").is_file()
    end = "_train.npy" if divided else ".npy"
    stems = sorted(file.name.removesuffix(end) for file in root.glob(f"*{end}"))
    known = [
        *MODALITIES,
        *(stem for stem in stems if is_name(stem) and stem not in ("img", *_TEXTS)),
    ]
    chosen = choose(known, wanted, MODALITIES, name=str(root))
    if not divided:
        whole = _checked(lambda name: arrays.read_npy(root / f"{name}.npy"), chosen, str(root))
        return _joined([whole], chosen, None, root)
    there = [part for part in _WORDS if part != "semi" or (root / "img_semi.npy").is_file()]
    parts = [_read_part(root, part, chosen) for part in there]
    return _joined(parts, chosen, [_WORDS[part] for part in there], root)


def _read_part(root: Path, part: str, chosen: Sequence[str]) -> Arrays:
    texts = next((t for t in _TEXTS if (root / f"{t}_{part}.npy").is_file()), _TEXTS[-1])
    stems = {"image": f"img_{part}", "text": f"{texts}_{part}", "labels": f"labels_{part}_img"}
    found = _checked(
        lambda name: arrays.read_npy(root / f"{stems.get(name, f'{name}_{part}')}.npy"),
        chosen,
        f"{root}, {part}",
    )
    other = root / f"labels_{part}_txt.npy"
    if not np.array_equal(found["labels"], arrays.read_npy(other)):
        raise DistillError(
            f"{other}: expected the labels of labels_{part}_img.npy, as texts and pictures are "
            "pairs, got others; take files that belong together"
        )
    return found


def _read_file(path: Path, wanted: Sequence[str] | None) -> Pairs:
    chosen = choose(MODALITIES, wanted, MODALITIES, name=str(path))

    def of_part(part: str) -> Arrays:
        keys = {"image": f"I_{part}", "text": f"T_{part}", "labels": f"L_{part}"}
        where = f"{path}, {part}"
        return _checked(lambda name: matfile.read_mat(path, keys[name]), chosen, where)

    if "I_tr" in matfile.mat_variables(path):
        return _joined([of_part("tr"), of_part("te")], chosen, ["train", "query"], path)
    whole = _checked(lambda name: matfile.read_mat(path, name), chosen, str(path))
    return _joined([whole], chosen, None, path)


def _checked(read: Callable[[str], Any], chosen: Sequence[str], where: str) -> Arrays:
    found: Arrays = {
        name: arrays.features(read(name), f"{where}, {name}", missing=True) for name in chosen
    }
    labels = np.asarray(read("labels"))
    if labels.ndim not in (1, 2):
        raise DistillError(
            f"{where}, labels: expected labels 0 or 1, (n, n_labels), or class numbers (n), got "
            f"{labels.dtype} {labels.shape}; store them so"
        )
    n = len(found[chosen[0]])
    found["labels"] = labels[0] if labels.shape == (1, n) and n > 1 else labels
    arrays.check_counts({f"{where}, {name}": len(values) for name, values in found.items()})
    return found


def _joined(
    parts: Sequence[Arrays], chosen: tuple[str, ...], said: Sequence[str] | None, place: Path
) -> Pairs:
    """All items; names of the classes may be in the folder, or beside the file, `place`."""
    labels = [part["labels"] for part in parts]
    if _are_classes(labels):
        labels = [each.ravel() for each in labels]
    columns = {name: [part[name] for part in parts] for name in chosen} | {"labels": labels}
    for name, found in columns.items():
        if len({each.shape[1:] for each in found}) > 1:
            raise DistillError(
                f"{name}: expected equally many columns in all parts, got "
                f"{' and '.join(str(each.shape) for each in found)}; take files that belong "
                "together"
            )
    matrix, names, named = _labels(np.concatenate(labels), place)
    words = None
    if said is not None:
        words = [word for word, each in zip(said, labels, strict=True) for _ in range(len(each))]
    digits = len(str(len(matrix) - 1))
    return Pairs(
        NoImages(tuple(f"row {i:0{digits}d}" for i in range(len(matrix)))),
        matrix,
        names,
        features={name: np.concatenate(columns[name]) for name in chosen},
        chosen=chosen,
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
