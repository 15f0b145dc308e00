"""Names of what the operations take that are read, over all of their kinds.

From the schemas of PyTorch (``torch._C._jit_get_all_schemas``).
"""

from __future__ import annotations

__all__ = ["ARGUMENTS"]

ARGUMENTS = frozenset(
    """
C HxW N a align_corners allow_tf32 alpha approximate attn_mask b benchmark beta bias ceil_mode
chunks condition copy count_include_pad cudnn_enable cudnn_enabled data deterministic device
dict dilation dim dim0 dim1 dims divisor_override dropout_p dtype el enable_gqa end end_dim eps
exponent group groups half_to_float hi idx implicit index indices input input_scale is_causal
item keepdim kernel_size key l layout length list lo mat1 mat2 max max_val max_values
memory_format message min min_val mode momentum n negative_slope non_blocking normalized_shape
num_groups obj other out out0 out1 out2 out_dtype output_padding output_size p pad padding
pin_memory query repeats rounding_mode running_mean running_var s save_invstd save_mean scale
scale_factors scales_d scales_h scales_w self separator shape size split_size split_sizes
stacklevel start start_dim step stride string t tensors threshold train training transposed type
upscale_factor use_input_stats v value weight
""".split()
)
