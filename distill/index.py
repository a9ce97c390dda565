"""`python -m distill.index RUN --images photos/ --out photos.index`: a directory to search."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

import hamming
from distill.checkpoint import WEIGHTS, Run, load_run
from distill.command import one_sentence
from distill.encoders.weights import digest
from distill.image_encoder import METHODS, Model, models_of
from distill.index_format import About
from distill.index_update import Report, update
from distill.index_writer import writing
from distill.item_encoder import ItemEncoder, open_item_encoder
from distill.item_files import Found, Kind, found_images, found_in_manifest, found_texts
from distill.types import DistillError


@dataclass(frozen=True)
class Index:
    """Encode images or texts with a trained run into a directory that can be searched.

    Called again it encodes only what is new or has changed: pictures of another size or another
    time of last change. Interrupted or killed at any moment, the directory holds what was committed
    last, and the next call goes on from there. Searches may run meanwhile.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder, as written by python -m distill.train."""
    out: Annotated[Path, tyro.conf.arg(metavar="INDEX_DIR")]
    """The index directory; made where there is none, brought up to date where there is one."""
    images: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR|FILE ...")] = ()
    """Image files, and folders whose image files are taken in alphabetical order. Linked folders in
    them are not followed: they are named, and can be given themselves."""
    manifest: Annotated[
        Path | None, tyro.conf.arg(constructor=Path, metavar="FILE", help_behavior_hint="")
    ] = None
    """Items with image, text or further modalities, one JSON object a line; labels are not needed.
    Lines without what is encoded are passed over."""
    texts: Annotated[
        Path | None, tyro.conf.arg(constructor=Path, metavar="FILE", help_behavior_hint="")
    ] = None
    """A UTF-8 file with one text a line."""
    modality: Annotated[
        str | None,
        tyro.conf.arg(name="as", constructor=str, metavar="MODALITY", help_behavior_hint=""),
    ] = None
    """Encode as this modality of the run; of a manifest, what its items have of it. Without it
    pictures are images, lines are texts, and of a manifest the images are taken."""
    model: Annotated[
        Literal["student", "teacher"] | None,
        tyro.conf.arg(constructor=str, metavar="student|teacher", help_behavior_hint=""),
    ] = None
    """Which model of a run that hashes images alone; without it the teacher, whose codes are also
    the database of the run itself. Queries are encoded by the student, where there is one."""
    bad_images: Literal["refuse", "skip"] = "refuse"
    """What to do with an image that cannot be read: refuse ends with what was indexed before it;
    skip names it and does not try it again until it changes."""
    prune: tyro.conf.FlagCreatePairsOff[bool] = False
    """Remove items that the given folders, manifest or list have no longer; without it they are
    named and kept."""
    commit_seconds: float = 10.0
    """Seconds between commits: about so much work is lost at most when the process is killed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    with one_sentence():
        options = tyro.cli(Index, args=arguments, prog="python -m distill.index")
        report = index(options)
        kept = f", gone but kept {report.gone} (--prune removes them)" if report.gone else ""
        print(
            f"{options.out}: added {report.added}, changed {report.changed}, removed "
            f"{report.removed}, unchanged {report.unchanged}, skipped {report.skipped}{kept}, "
            f"total {report.total}"
        )


def index(options: Index) -> Report:
    """Bring an index directory up to date.

    Raises:
        DistillError: an option or an item is not as described; what was indexed before is kept.
        OSError: a file cannot be read or written.
    """
    given = [bool(options.images), options.manifest is not None, options.texts is not None]
    if sum(given) != 1:
        raise DistillError(
            f"index: expected one of --images, --manifest and --texts, got {sum(given)} of them; "
            "give one"
        )
    if not options.commit_seconds >= 0:
        raise DistillError(
            f"commit_seconds: expected at least 0, got {options.commit_seconds}; change it"
        )
    run = load_run(options.run)
    kind = _kind(run, options)
    found = _found(options, kind)
    encoder = _encoder(run, kind, options)
    with writing(options.out, about_of(run, encoder)) as writer:
        return update(
            writer,
            found,
            _codes(encoder),
            bad_images=options.bad_images,
            prune=options.prune,
            commit_seconds=options.commit_seconds,
        )


def about_of(run: Run, encoder: ItemEncoder) -> About:
    """What the codes of an index by this run are of."""
    return About(
        run=str(run.path.resolve()),
        weights=digest(run.file(WEIGHTS)),
        encoder=encoder.identity,
        modality="image" if run.config.method in METHODS else encoder.name,
        kind=encoder.kind,
        model=encoder.name if run.config.method in METHODS else None,
        n_bits=run.config.bits,
    )


def _kind(run: Run, options: Index) -> Kind:
    """Whether pictures or words are to be encoded."""
    if options.manifest is None or options.modality is None:
        return "image" if options.texts is None else "text"
    return "text" if run.kinds.get(options.modality) == "text" else "image"


def _found(options: Index, kind: Kind) -> list[Found]:
    if options.texts is not None:
        return found_texts(options.texts)
    if options.manifest is not None:
        return found_in_manifest(options.manifest, options.modality or "image", kind)
    return found_images(options.images, whole=options.prune)


def _encoder(run: Run, kind: Kind, options: Index) -> ItemEncoder:
    model: Model | None = options.model
    if run.config.method in METHODS:
        model = model or models_of(run.config)[-1]
    return open_item_encoder(run, kind, modality=options.modality, model=model)


def _codes(encoder: ItemEncoder) -> Any:
    def codes(items: Sequence[Any]) -> NDArray[np.uint8]:
        packed: NDArray[np.uint8] = hamming.pack(encoder(items).numpy())
        return packed

    return codes


if __name__ == "__main__":
    main()
