"""Flows: for each pixel of an object, the direction to its middle; to objects and back.

What Cellpose (Stringer et al. 2021, doi 10.1038/s41592-020-01018-x) lets a network say instead of
borders. :func:`heat_flows` makes flows of labels, :func:`follow` moves each pixel along
them, :func:`gathered` makes labels of where the pixels end, and :func:`flow_errors` tells how far
the flows of labels are from those that a network gave. Arrays of numpy; two dimensions.
"""

from napari_segnet.flows.follow import follow
from napari_segnet.flows.gather import gathered
from napari_segnet.flows.heat import cut_objects, flow_errors, heat_flows

__all__ = ["cut_objects", "flow_errors", "follow", "gathered", "heat_flows"]
