"""Pictures that strangers send: of known formats, and of a size that can be decoded."""

import io

from PIL import Image

from distill.data.images import decode
from distill.types import DistillError

MAX_PIXELS = 1 << 26
"""Of a picture that is searched for; a few kilobytes can claim any number."""
_NAMES = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def sent_image(data: bytes) -> Image.Image:
    """Decode a picture to RGB.

    Raises:
        DistillError: it is none, not whole, or too large.
    """
    _, n_pixels = _looked_at(data)
    if n_pixels > MAX_PIXELS:
        raise DistillError(
            f"image: expected at most {MAX_PIXELS} pixels, got {n_pixels}; make it smaller"
        )
    return decode(data, "image")  # which knows the format by the same first bytes


def media_type(data: bytes) -> str:
    """The media type of an encoded picture.

    Raises:
        DistillError: it is none.
    """
    name, _ = _looked_at(data)
    return Image.MIME["JPEG" if name == "MPO" else name]  # MPO: a JPEG with more behind it


def _looked_at(data: bytes) -> tuple[str, int]:
    """Format and number of pixels; formats that Pillow gives to other programs are not tried."""
    Image.init()
    formats = [name for name in _NAMES if name in Image.OPEN]
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            return str(image.format), image.width * image.height
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DistillError(
            f"image: expected at most {MAX_PIXELS} pixels, got more; make it smaller"
        ) from error
    except Exception as error:  # Pillow's readers raise almost anything on damaged bytes
        raise DistillError(
            f"image: expected one of {', '.join(formats)}, got {len(data)} bytes of something "
            "else; send the file itself, as curl --data-binary @FILE does"
        ) from error
