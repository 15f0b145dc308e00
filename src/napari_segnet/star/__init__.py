"""Star-convex objects: a point, and how far the edge is from it along each of some rays.

What StarDist (Schmidt et al. 2018, doi 10.1007/978-3-030-00934-2_30; Weigert et al. 2020,
doi 10.1109/WACV45572.2020.9093435) lets a network say of every pixel. :class:`Rays` are the
directions, :func:`suppress` keeps the best of objects that overlap, :func:`mask_of` gives the
pixels of one, and :func:`star_distances` says the same of labels. Arrays of numpy; two and three
dimensions. The compiled code of the library is used where it is installed (``_compiled.py``);
TensorFlow is not needed for it.
"""

from napari_segnet.star.distances import inner_distance, star_distances
from napari_segnet.star.inside import boxes_of, contains, mask_of
from napari_segnet.star.rays import Rays, circle, rays_from_json
from napari_segnet.star.suppress import suppress

__all__ = [
    "Rays",
    "boxes_of",
    "circle",
    "contains",
    "inner_distance",
    "mask_of",
    "rays_from_json",
    "star_distances",
    "suppress",
]
