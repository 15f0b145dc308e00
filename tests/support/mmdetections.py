"""Networks of Detectron2 under the names of MMDetection, which computes the same.

With style ``caffe`` and one size of anchors per level, MMDetection's published definitions
and Detectron2's agree in every number that counts: so Detectron2's stored answers are also
MMDetection's. The names are written down here once more, independent of the package.
"""

from __future__ import annotations

import re

from support.detectron2_reference import Arrays

RENAMED = (
    (r"backbone\.bottom_up\.stem\.conv1\.weight", "backbone.conv1.weight"),
    (r"backbone\.bottom_up\.stem\.conv1\.norm\.(.+)", r"backbone.bn1.\1"),
    (r"backbone\.bottom_up\.res2\.(.+)", r"backbone.layer1.\1"),
    (r"backbone\.bottom_up\.res3\.(.+)", r"backbone.layer2.\1"),
    (r"backbone\.bottom_up\.res4\.(.+)", r"backbone.layer3.\1"),
    (r"backbone\.bottom_up\.res5\.(.+)", r"backbone.layer4.\1"),
    (r"(backbone\.layer.*)\.conv(\d)\.norm\.(.+)", r"\1.bn\2.\3"),
    (r"(backbone\.layer.*)\.shortcut\.weight", r"\1.downsample.0.weight"),
    (r"(backbone\.layer.*)\.shortcut\.norm\.(.+)", r"\1.downsample.1.\2"),
    (r"backbone\.fpn_lateral2\.(.+)", r"neck.lateral_convs.0.conv.\1"),
    (r"backbone\.fpn_lateral3\.(.+)", r"neck.lateral_convs.1.conv.\1"),
    (r"backbone\.fpn_lateral4\.(.+)", r"neck.lateral_convs.2.conv.\1"),
    (r"backbone\.fpn_lateral5\.(.+)", r"neck.lateral_convs.3.conv.\1"),
    (r"backbone\.fpn_output2\.(.+)", r"neck.fpn_convs.0.conv.\1"),
    (r"backbone\.fpn_output3\.(.+)", r"neck.fpn_convs.1.conv.\1"),
    (r"backbone\.fpn_output4\.(.+)", r"neck.fpn_convs.2.conv.\1"),
    (r"backbone\.fpn_output5\.(.+)", r"neck.fpn_convs.3.conv.\1"),
    (r"proposal_generator\.rpn_head\.conv\.(.+)", r"rpn_head.rpn_conv.\1"),
    (r"proposal_generator\.rpn_head\.objectness_logits\.(.+)", r"rpn_head.rpn_cls.\1"),
    (r"proposal_generator\.rpn_head\.anchor_deltas\.(.+)", r"rpn_head.rpn_reg.\1"),
    (r"roi_heads\.box_head\.fc1\.(.+)", r"roi_head.bbox_head.shared_fcs.0.\1"),
    (r"roi_heads\.box_head\.fc2\.(.+)", r"roi_head.bbox_head.shared_fcs.1.\1"),
    (r"roi_heads\.box_predictor\.cls_score\.(.+)", r"roi_head.bbox_head.fc_cls.\1"),
    (r"roi_heads\.box_predictor\.bbox_pred\.(.+)", r"roi_head.bbox_head.fc_reg.\1"),
    (r"roi_heads\.mask_head\.mask_fcn1\.(.+)", r"roi_head.mask_head.convs.0.conv.\1"),
    (r"roi_heads\.mask_head\.mask_fcn2\.(.+)", r"roi_head.mask_head.convs.1.conv.\1"),
    (r"roi_heads\.mask_head\.deconv\.(.+)", r"roi_head.mask_head.upsample.\1"),
    (r"roi_heads\.mask_head\.predictor\.(.+)", r"roi_head.mask_head.conv_logits.\1"),
)


def renamed(tensors: Arrays) -> Arrays:
    """Return a state dict of Detectron2 under MMDetection's names."""
    found: Arrays = {}
    for key, value in tensors.items():
        for pattern, name in RENAMED:
            if re.fullmatch(pattern, key):
                key = re.sub(pattern, name, key)
        found[key] = value
    return found


CAFFE = """
dataset_type = 'CocoDataset'
img_norm_cfg = dict(mean=[103.530, 116.280, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False)
model = dict(
    type='MaskRCNN',
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN', requires_grad=False),
                  norm_eval=True, style='caffe'),
    neck=dict(type='FPN', num_outs=5),
    rpn_head=dict(
        type='RPNHead',
        anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0],
                              strides=[4, 8, 16, 32, 64]),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)),
    roi_head=dict(
        type='StandardRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0)),
        bbox_head=dict(
            type='Shared2FCBBoxHead', num_classes=3, reg_class_agnostic=False,
            bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0., 0., 0., 0.],
                            target_stds=[0.1, 0.1, 0.2, 0.2]),
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
        mask_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0)),
        mask_head=dict(type='FCNMaskHead', num_convs=2, num_classes=3)),
    test_cfg=dict(
        rpn=dict(nms_pre=1000, max_per_img=1000, nms=dict(type='nms', iou_threshold=0.7)),
        rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)))
"""
"""What MMDetection 2 writes into ``meta.cfg``, shortened."""
