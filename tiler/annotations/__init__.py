"""Annotation files of pathology viewers: QuPath GeoJSON, ASAP XML, Aperio (ImageScope) XML.

They need shapely, the extra ``tiler[annotations]``.
"""

from tiler.annotations.file import Annotations, read_annotations
from tiler.annotations.shapes import UNCLASSIFIED, AnnotationError
from tiler.annotations.slide_file import Missing, Origin, SlideFile

__all__ = [
    "UNCLASSIFIED",
    "AnnotationError",
    "Annotations",
    "Missing",
    "Origin",
    "SlideFile",
    "read_annotations",
]
