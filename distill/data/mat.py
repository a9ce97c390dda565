"""Image-text pairs as DCHMT, MITH and their successors keep them: a folder of three files.

    index.mat    `index`: n paths of pictures, relative to the folder or absolute
    caption.mat  `caption`: n texts, or n lists of texts, of which the first is taken;
                 or caption.txt, a text a line
    label.mat    `category` or `label`: (n, n_labels), each 0 or 1
    classes.txt  a name of a label a line, where there is one; without it labels have numbers

.mat files are v5 or HDF5 (v7.3). Blanks that strings are padded with are dropped, and blank lines
that caption.txt ends with beyond the items. A text may be empty. A backslash in a path is a slash.
"""

from pathlib import Path

from distill.data.arrays import (
    check_counts,
    class_names,
    label_matrix,
    read_lines,
    without_blank_end,
)
from distill.data.base import BadImages, ImageTextDataset, Text
from distill.data.images import FileImages
from distill.data.matfile import read_mat, strings
from distill.data.pairs import Pairs, dataset_of
from distill.data.protocols import SplitRule
from distill.types import DistillError


def load(root: Path, *, text: Text, bad_images: BadImages, split: SplitRule) -> ImageTextDataset:
    """Read a folder; `registry.load` describes the settings.

    Raises:
        DistillError: a file or a picture is not as it should be.
    """
    paths = strings(read_mat(root / "index.mat", "index"), f"{root / 'index.mat'}, index")
    paths = [path.replace("\\", "/") for path in paths]
    texts, texts_file = _texts(root, len(paths))
    file = root / "label.mat"
    labels = label_matrix(read_mat(file, "category", "label"), str(file))
    check_counts({"index.mat": len(paths), texts_file: len(texts), "label.mat": len(labels)})
    if "" in paths:
        raise DistillError(
            f"{root / 'index.mat'}: expected a path in every row, got a blank one in row "
            f"{paths.index('')}; correct it"
        )
    names = class_names(root / "classes.txt", labels.shape[1])
    pairs = Pairs(FileImages(root, tuple(paths)), labels, names, texts)
    first = ", of several the first" if texts_file.endswith(".mat") else ""
    return dataset_of(
        root.resolve().name,
        pairs,
        where=str(root),
        fields=f"text = {texts_file}{first}, labels = the {labels.shape[1]} columns of label.mat",
        split=split,
        text=text,
        bad_images=bad_images,
    )


def _texts(root: Path, n: int) -> tuple[list[str], str]:
    """The texts of n pictures, and the name of their file."""
    found = [name for name in ("caption.mat", "caption.txt") if (root / name).is_file()]
    if len(found) != 1:
        raise DistillError(
            f"root: expected caption.mat or caption.txt in {root}, got "
            f"{'both' if found else 'neither'}; {'remove' if found else 'add'} one"
        )
    file = root / found[0]
    if found[0] == "caption.mat":
        return strings(read_mat(file, "caption"), f"{file}, caption"), found[0]
    lines = without_blank_end(read_lines(file, "a text a line"), n)
    return [line.strip() for line in lines], found[0]
