"""Labels: classes of tiles."""

from tiler.labels.annotation import AnnotationLabels
from tiler.labels.none import no_labels

__all__ = ["AnnotationLabels", "no_labels"]
