"""Unknown networks are named for what they are: one short list of names for each."""

from __future__ import annotations

import pytest
import torch

from napari_segnet.errors import UnknownNetworkError
from napari_segnet.recognition import identify
from napari_segnet.signatures import SIGNATURES, signature_of

NAMES = {
    "sam2": "image_encoder.trunk.blocks.0.norm1.weight memory_encoder.out_proj.weight",
    "cellpose-sam": "encoder.patch_embed.proj.weight encoder.neck.0.weight out.weight W2",
    "sam": "image_encoder.patch_embed.proj.weight mask_decoder.iou_token.weight",
    "cellpose": "downsample.down.res_down_0.conv.conv_0.0.weight upsample.up.res_up_0.conv.weight",
    "stardist": "unet.0.weight conv_rad.weight conv_prob.weight",
    "hovernet": "conv0.conv1.weight decoder.np.u3.conva.weight decoder.hv.u3.conva.weight",
    "nnunet": "encoder.stages.0.0.convs.0.conv.weight decoder.seg_layers.0.weight",
    "nnunet-1": "conv_blocks_context.0.blocks.0.conv.weight seg_outputs.0.weight",
    "pytorch-3dunet": "encoders.0.basic_module.SingleConv1.conv.weight decoders.0.upsampling.w",
    "torch-em": "encoder.blocks.0.block.0.weight decoder.samplers.0.conv.weight out_conv.weight",
    "yolo": "model.0.conv.weight model.2.m.0.cv1.conv.weight model.22.cv2.0.0.conv.weight",
    "ssd": "head.classification_head.module_list.0.weight head.regression_head.module_list.0.bias",
    "mask2former": "model.pixel_level_module.encoder.weight class_predictor.weight",
    "detr": "query_embed.weight bbox_embed.layers.0.weight transformer.encoder.layers.0.weight",
    "matterport-torch": "fpn.P5_conv1.weight classifier.linear_class.weight",
    "detectron2-other": "backbone.res2.0.conv1.weight proposal_generator.rpn_head.conv.weight",
    "lraspp": "classifier.cbr.0.weight classifier.low_classifier.weight",
    "deeplab": "backbone.conv1.weight classifier.0.convs.0.0.weight",
    "fcn": "backbone.conv1.weight classifier.0.weight classifier.4.weight",
    "smp-unetplusplus": "encoder.conv1.weight decoder.blocks.x_0_0.conv1.0.weight",
    "smp-manet": "encoder.conv1.weight decoder.center.top_conv.weight",
    "smp-unet": "encoder.conv1.weight decoder.blocks.0.conv1.0.weight segmentation_head.0.weight",
    "smp-linknet": "encoder.conv1.weight decoder.blocks.0.block.0.0.weight",
    "smp-fpn": "encoder.conv1.weight decoder.p5.weight",
    "smp-deeplab": "encoder.conv1.weight decoder.aspp.0.convs.0.0.weight",
    "smp-pan": "encoder.conv1.weight decoder.fpa.branch1.1.conv.weight",
    "smp-pspnet": "encoder.conv1.weight decoder.psp.blocks.0.pool.1.0.weight",
    "smp-upernet": "encoder.conv1.weight decoder.feature_norms.0.weight",
    "smp-segformer": "encoder.patch_embed1.proj.weight decoder.mlp_stage.0.linear.weight",
    "segformer": "segformer.encoder.patch_embeddings.0.proj.weight decode_head.linear_c.0.proj.w",
    "monai-swin-unetr": "swinViT.patch_embed.proj.weight",
    "monai-unetr": "vit.patch_embedding.position_embeddings decoder5.transp_conv.conv.weight",
    "monai-attention-unet": "model.0.conv.0.conv.weight model.1.attention.W_g.0.conv.weight",
    "monai-dynunet": "input_block.conv1.conv.weight upsamples.0.transp_conv.conv.weight",
    "monai-basic-unet": "conv_0.conv_0.conv.weight upcat_4.upsample.deconv.weight",
    "monai-segresnet": "convInit.conv.weight down_layers.0.1.conv1.conv.weight",
    "monai-vnet": "in_tr.conv_block.conv.weight",
    "monai-unet": "model.0.conv.unit0.conv.weight model.1.submodule.0.conv.unit0.conv.weight",
    "dpt": "encoder.model.blocks.0.attn.qkv.weight decoder.reassemble_blocks.0.upsample.weight",
    "transunet": "transformer.embeddings.position_embeddings decoder.conv_more.0.weight",
    "swin-unet": "layers.0.blocks.0.attn.qkv.weight layers_up.0.expand.weight",
    "u2net": "stage1.rebnconv1.conv_s1.weight side1.weight",
    "unet-plus-plus": "conv0_0.conv1.weight conv0_4.conv1.weight",
    "diffusion": "time_embed.0.weight input_blocks.0.0.weight",
    "vae": "encoder.0.weight fc_mu.weight fc_logvar.weight",
    "gan": "generator.0.weight generator.1.weight",
    "language-model": "model.embed_tokens.weight model.layers.0.self_attn.q_proj.weight",
    "vision-transformer": "patch_embed.proj.weight blocks.0.attn.qkv.weight head.weight",
    "graph-network": "gat1.att_src gat1.lin_src.weight",
    "classifier": "conv1.weight layer1.0.conv1.weight fc.weight",
}


def shapes(names):
    return {name: (4, 4) if name == "fc.weight" else (4, 4, 3, 3) for name in names.split()}


def test_each_has_an_example_and_a_name_of_its_own():
    assert [s.name for s in SIGNATURES if s.name not in NAMES] == ["one-dimensional"]
    assert len({s.name for s in SIGNATURES}) == len(SIGNATURES) >= 40


@pytest.mark.parametrize("name", NAMES)
def test_it_is_known_by_its_names(name):
    found = signature_of(shapes(NAMES[name]))
    assert found is not None
    assert found.name == name


def test_a_convolution_named_classifier_may_label_pixels():
    names = ("stem.weight", "classifier.weight")
    assert signature_of(dict.fromkeys(names, (4, 4, 3, 3))) is None
    dense = signature_of({"stem.weight": (4, 4, 3, 3), "classifier.weight": (10, 4)})
    assert dense is not None
    assert dense.name == "classifier"


def test_a_network_for_signals_is_known_by_its_kernels():
    found = signature_of({"a.weight": (8, 1, 9), "a.bias": (8,), "b.weight": (1, 8, 9)})
    assert found is not None
    assert found.name == "one-dimensional"


@pytest.mark.parametrize(
    "names",
    ["inc.weight out.weight", "enc1.0.weight dec1.0.weight final.weight", "fc.weight up1.w"],
)
def test_a_network_of_somebody_is_none_of_them(names):
    assert signature_of(shapes(names)) is None


def test_the_refusal_says_what_it_is_and_what_works(tmp_path):
    state = {name: torch.zeros(4, 4, 3, 3) for name in NAMES["cellpose"].split()}
    torch.save(state, tmp_path / "cyto3")
    with pytest.raises(UnknownNetworkError, match="cyto3 is a Cellpose network") as caught:
        identify(tmp_path / "cyto3")
    assert "It runs in Cellpose" in str(caught.value)


def test_where_no_step_works_none_is_given(tmp_path):
    state = {name: torch.zeros(4, 4, 3, 3) for name in NAMES["u2net"].split()}
    torch.save(state, tmp_path / "u2.pth")
    with pytest.raises(UnknownNetworkError, match="cannot be opened in this version") as caught:
        identify(tmp_path / "u2.pth")
    assert "save" not in str(caught.value).lower()
