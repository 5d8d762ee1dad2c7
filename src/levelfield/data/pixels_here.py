"""Whether the pixels that are made here are those that are made elsewhere: a test of decoder and resize at the start.

Two JPEGs are decoded, resized up and down by both filters, and hashed. The digest is recorded with every execution, so
that results of two machines that made other pixels of the same files can be told apart.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import logging

from levelfield.data.decode import decode, decoder_name
from levelfield.data.resize import Box, Filter, resized

logger = logging.getLogger(__name__)

EXPECTED_PIXELS = "5e1bdf9f8947c083"
"""What it is with libjpeg-turbo, by Pillow and by simplejpeg, and torch's resize on x86, whatever its vector units."""

_FILTERS: tuple[Filter, ...] = ("bicubic", "bilinear")
_JPEGS = (
    # 45 x 34, baseline, chroma halved both ways
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAoHBwgHBgoICAgLCgoLDhgQDg0NDh0VFhEYIx8lJCIfIiEmKzcvJik0KSEiMEExNDk7Pj4+JS5ESU"
    "M8SDc9Pjv/2wBDAQoLCw4NDhwQEBw7KCIoOzs7Ozs7Ozs7Ozs7Ozs7Ozs7Ozs7Ozs7Ozs7Ozs7Ozs7Ozs7Ozs7Ozs7Ozs7Ozs7Ozv/wAARCAAi"
    "AC0DASIAAhEBAxEB/8QAGQAAAwEBAQAAAAAAAAAAAAAAAAUGBwED/8QAJxAAAQQBAwMDBQAAAAAAAAAAAQACAwQFERIhBiIxEzM0QVFxgZH/xA"
    "AaAQADAAMBAAAAAAAAAAAAAAADBQYBAgQH/8QAJREAAQQCAQQBBQAAAAAAAAAAAwABAgQFERITITEyIzM0QnGB/9oADAMBAAIRAxEAPwC8yltj"
    "4HAFZ5kqzpp3bR5KtJ6UpYdSUuZjtZuQg1stGu/Affa46+VvBZxQHtnUpXxUofrtK9b8LoIdXDRWU0EVWLcWhS2ZmZcaY4xyivDqWYkl2ihECd"
    "348fK50tlIobPc76rR4c3UMY1cP6sjxmDtCfcNRyqaPF2w0dzk8skxu20VNKmKrQh809OqazkWhhSlmTHrHVcl7m6JJfca4LwVJ4jFtHfV8pwc"
    "wag3j+T+FRXJm24NoPlK6mELp9x55U3F1FI2bZuVVg8oZ3gFOrdUowu7+qnapbcSbP8AxMjXZRYCQF4nMRN41C51HaMVbUfZZ9PmHiQ9ymAU6x"
    "m2yHkhGOTlFXrvCRZz2HIQq2r7JjnPrQUQz5R/KuemfcahCa5P7KX6WTeYpr1V8P8ASzCx7pQhef4z0dbSX//Z",
    # 31 x 23, progressive
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5aYV"
    "pQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT0//wgARCAAX"
    "AB8DAREAAhEBAxEB/8QAFwAAAwEAAAAAAAAAAAAAAAAAAgQFA//EABkBAAMBAQEAAAAAAAAAAAAAAAMEBQIBAP/aAAwDAQACEAMQAAABr5zFed"
    "BSaQcVRYx57RtpDo6kegvSKRpi42P/xAAaEAACAwEBAAAAAAAAAAAAAAABAgARIQMS/9oACAEBAAEFAnbHFkIYwqFTPGkUOhuFp71jYHPf/8QA"
    "GxEAAgMBAQEAAAAAAAAAAAAAAAECAxEEIRL/2gAIAQMBAT8BrtSZLqi44SfpJ6OqRDnno6nhGlkayxfEdH0+4VyP/8QAHBEAAgMAAwEAAAAAAA"
    "AAAAAAAAECAxETISIx/9oACAECAQE/AYdM5lhaypax3IhNtmaivx9ILWQpE8LHp//EABQQAQAAAAAAAAAAAAAAAAAAADD/2gAIAQEABj8CT//E"
    "ABgQAQEBAQEAAAAAAAAAAAAAAAABESEQ/9oACAEBAAE/IZU3G5kZEENkuY5p4Vuf/9oADAMBAAIAAwAAABBZ/KHvP//EABgRAQEBAQEAAAAAAA"
    "AAAAAAAAEAESEx/9oACAEDAQE/ENU2eMDqMSvLrMKIYtghrQvb/8QAGREAAwEBAQAAAAAAAAAAAAAAAAERECEx/9oACAECAQE/EPcxMksqP4DS"
    "5iGxS9DpE1cMZ//EABkQAQEBAQEBAAAAAAAAAAAAAAEAESExQf/aAAgBAQABPxBiDJiLqZOeylu23Zb4FxXyPfL6yDO2Fb//2Q==",
)


@functools.cache
def pixels_here() -> str:
    """The digest of the pixels that this machine makes; a warning where it is not the expected one."""
    found = hashlib.blake2b(digest_size=8)
    for text in _JPEGS:
        pixels = decode(base64.b64decode(text))
        found.update(pixels.tobytes())
        for side in (11, 40):
            for kind in _FILTERS:
                found.update(resized(pixels, Box(3, 2, 26, 19), side, filter=kind).tobytes())
    if found.hexdigest() != EXPECTED_PIXELS:
        logger.warning(
            "pictures become other pixels here than elsewhere (%s by %s, expected %s): results on them compare to "
            "rounding only",
            found.hexdigest(),
            decoder_name(),
            EXPECTED_PIXELS,
        )
    return found.hexdigest()
