"""How many values each operation of PyTorch takes, over all of its kinds: the least and the most.

From the schemas of PyTorch (``torch._C._jit_get_all_schemas``). Others than these are not known,
and may take any number.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["TAKES"]

_TABLE = """
Bool:1-1 Complex:1-2 ComplexImplicit:1-1 Delete:2-2 Float:1-1 FloatImplicit:1-1 Generator:0-2
Int:1-1 IntImplicit:1-1 ScalarImplicit:1-1 Size:1-1 __and__:2-2 __contains__:2-2
__derive_index:3-3 __getitem__:2-2 __iand__:2-2 __ilshift__:2-2 __interpolate:1-7 __ior__:2-2
__irshift__:2-2 __is__:2-2 __isnot__:2-2 __ixor__:2-2 __lshift__:2-3 __not__:1-1 __or__:2-2
__range_length:3-3 __round_to_zero_floordiv:2-2 __rshift__:2-3 __upsample:1-5
__upsample_bilinear:1-3 __upsample_nearest:1-3 __xor__:2-2 _debug_has_internal_overlap:1-1
_empty_affine_quantized:1-8 _empty_per_channel_affine_quantized:4-9 _euclidean_dist:2-3
_fill_mem_eff_dropout_mask_:4-4 _foobar:1-5 _fw_primal:2-2 _get_cpu_capability:0-0
_get_tracing_state:0-0 _grad_sum_to_size:2-2 _grouped_mm:2-5 _list_to_tensor:1-1
_ncf_unsqueeze:2-2 _ncf_view:3-3 _nnpack_available:0-0 _nnpack_spatial_convolution:4-6
_no_grad_embedding_renorm_:4-4 _no_grad_fill_:2-2 _no_grad_normal_:3-4 _no_grad_uniform_:3-4
_no_grad_zero_:1-1 _philox_key_fold_in:2-2 _philox_key_split:2-2 _philox_normal:2-5
_philox_randint:2-5 _philox_uniform:2-5 _print:1-1 _safe_softmax:2-3 _set_item:3-3
_size_if_not_equal:2-2 _spdiags:3-5 _spsolve:2-3 _tensor_to_list:1-1
_transform_bias_rescale_qkv:3-6 abs:1-2 absolute:1-2 acos:1-2 acosh:1-2 adaptive_avg_pool1d:2-3
adaptive_avg_pool2d:2-3 adaptive_avg_pool3d:2-3 adaptive_max_pool1d:2-2 adaptive_max_pool2d:2-4
adaptive_max_pool3d:2-4 add:2-4 addbmm:3-6 addcdiv:3-5 addcmul:3-5 addmm:3-7 addmv:3-6 addr:3-6
adjoint:1-1 affine_grid_generator:3-4 alias:1-1 all:1-4 allclose:2-5 alpha_dropout:3-3 amax:1-4
amin:1-4 aminmax:1-5 angle:1-2 any:1-4 append:2-2 arange:1-7 arccos:1-2 arccosh:1-2 arcsin:1-2
arcsinh:1-2 arctan:1-2 arctan2:2-3 arctanh:1-2 argmax:1-4 argmin:1-4 argsort:1-5 argwhere:1-1
as_strided:3-4 as_strided_scatter:4-6 as_tensor:1-3 asin:1-2 asinh:1-2 atan:1-2 atan2:2-3
atanh:1-2 atleast_1d:1-1 atleast_2d:1-1 atleast_3d:1-1 avg_pool1d:2-7 avg_pool2d:2-8
avg_pool3d:2-8 backward:1-4 baddbmm:3-7 bartlett_window:1-6 batch_norm:9-9
batch_norm_backward_elemt:8-9 batch_norm_backward_reduce:8-12 batch_norm_elemt:6-7
batch_norm_gather_stats:8-10 batch_norm_gather_stats_with_counts:8-10 batch_norm_stats:2-4
batch_norm_update_stats:4-6 bernoulli:1-4 bilinear:3-4 bin:1-1 binary_cross_entropy:2-5
binary_cross_entropy_with_logits:2-6 bincount:1-4 binomial:2-4 bitwise_and:2-3
bitwise_left_shift:2-3 bitwise_not:1-2 bitwise_or:2-3 bitwise_right_shift:2-3 bitwise_xor:2-3
blackman_window:1-6 block_diag:1-2 bmm:2-4 broadcast_shapes:2-2 broadcast_tensors:1-1
broadcast_to:2-2 bucketize:2-5 can_cast:2-2 capitalize:1-1 cartesian_prod:1-1 cat:1-3 cauchy:1-5
ccol_indices:1-1 cdist:2-4 ceil:1-2 celu:1-3 center:2-3 chain_matmul:1-2 chalf:1-2
channel_shuffle:2-3 cholesky_inverse:1-3 cholesky_solve:2-4 choose_qparams_optimized:5-5 chr:1-1
chunk:2-3 clamp:1-4 clamp_max:2-3 clamp_min:2-3 clear:1-1 clip:1-4 clone:1-3 coalesce:1-1
col2im:6-7 col_indices:1-1 column_stack:1-2 combinations:1-3 complex:2-3 concat:1-3
concatenate:1-3 confirmed_by_owner:1-1 conj:1-1 conj_physical:1-2 constant_pad_nd:2-4
contiguous:1-2 conv1d:2-7 conv2d:2-7 conv3d:2-7 conv_depthwise3d:7-8 conv_tbc:3-5
conv_transpose1d:2-8 conv_transpose2d:2-8 conv_transpose3d:2-8 convolution:9-10
convolution_backward_overrideable:10-13 convolution_overrideable:9-10 copy:1-4
copy_sparse_to_sparse:2-4 copysign:2-3 corrcoef:1-1 cos:1-2 cosh:1-2 cosine_embedding_loss:3-5
cosine_similarity:2-4 count:2-4 count_nonzero:1-3 cov:1-4 cpu:1-1 cross:2-4 cross_entropy_loss:2-6
crow_indices:1-1 ctc_loss:4-7 cuda:1-1 cummax:2-4 cummin:2-4 cumprod:2-4 cumsum:2-4
cumulative_trapezoid:1-3 data:1-1 deg2rad:1-2 degrees:1-1 dense_dim:1-1 dequantize:1-2 det:1-1
detach:1-1 device:1-2 diag:1-3 diag_embed:1-5 diagflat:1-2 diagonal:1-4 diagonal_scatter:2-6
dict:0-1 diff:1-6 digamma:1-2 dim:1-1 dist:2-4 div:2-4 divide:2-4 divmod:2-2 dot:2-3 dropout:3-3
dsplit:2-2 dstack:1-2 element_size:1-1 elu:1-5 embedding:2-6 embedding_bag:3-9
embedding_renorm:4-5 empty:1-6 empty_like:1-6 empty_permuted:2-6 empty_quantized:2-7
empty_strided:2-6 endswith:2-4 eq:2-3 equal:2-2 erf:1-2 erfc:1-2 erfinv:1-2 exp:1-2 exp2:1-2
expand:2-3 expand_as:2-2 expandtabs:1-2 expm1:1-2 exponential:1-4 extend:2-2 eye:1-6 fabs:1-1
factorial:1-1 feature_alpha_dropout:3-3 feature_dropout:3-3 fill:2-3 fill_diagonal_:2-3 find:2-4
fix:1-2 flatten:1-3 flatten_dense_tensors:1-1 flip:2-3 fliplr:1-1 flipud:1-1 float_power:2-3
floor:1-2 floor_divide:2-3 floordiv:2-2 fmax:2-3 fmin:2-3 fmod:2-3 frac:1-2
fractional_max_pool2d:4-6 fractional_max_pool3d:4-6 frexp:1-3 frobenius_norm:2-4 from_file:1-7
full:2-6 full_like:2-7 fused_moving_avg_obs_fake_quant:11-13 gamma:1-1 gather:3-5 gcd:2-3 ge:2-3
gelu:1-3 geometric:2-4 geqrf:1-3 ger:2-3 get:2-3 get_autocast_dtype:1-1 get_device:1-1
get_gradients:1-1 glu:1-3 grad:2-6 gradient:1-4 greater:2-3 greater_equal:2-3 grid_sampler:5-5
grid_sampler_2d:5-6 grid_sampler_3d:5-6 group_norm:2-6 gru:9-9 gru_cell:4-6 gt:2-3
hamming_window:1-8 hann_window:1-6 hardshrink:1-3 hardsigmoid:1-2 hardswish:1-2 hardtanh:1-4
hash:1-1 hash_tensor:1-5 heaviside:2-3 hex:1-1 hinge_embedding_loss:2-4 histc:1-5 histogram:1-7
histogramdd:2-5 hsplit:2-2 hspmm:2-3 hstack:1-2 huber_loss:2-5 hypot:2-3 i0:1-2 igamma:2-3
igammac:2-3 im2col:5-6 imag:1-1 index:2-4 index_add:4-6 index_copy_:4-4 index_fill:4-5
index_put:3-5 index_reduce:5-7 index_select:3-4 indices:1-1 initial_seed:1-1 inner:2-3 insert:3-3
instance_norm:9-9 int_repr:1-2 inverse:1-2 is_autocast_cpu_enabled:0-0 is_autocast_enabled:0-0
is_coalesced:1-1 is_complex:1-1 is_conj:1-1 is_contiguous:1-2 is_distributed:1-1
is_floating_point:1-1 is_grad_enabled:0-0 is_inference:1-1 is_leaf:1-1 is_neg:1-1
is_non_overlapping_and_dense:1-1 is_nonzero:1-1 is_owner:1-1 is_pinned:1-2 is_same_size:2-2
is_scripting:0-0 is_set_to:2-2 is_signed:1-1 is_strides_like_format:2-2 is_vulkan_available:0-0
isalnum:1-1 isalpha:1-1 isclose:2-5 isdecimal:1-1 isdigit:1-1 isfinite:1-1 isidentifier:1-1
isin:2-5 isinf:1-2 islower:1-1 isnan:1-2 isneginf:1-2 isnumeric:1-1 isposinf:1-2 isprintable:1-1
isreal:1-1 isspace:1-1 istft:2-10 istitle:1-1 isupper:1-1 item:1-1 items:1-1 join:2-2
kaiser_window:1-7 keys:1-1 kl_div:2-4 kron:2-3 kthvalue:2-6 l1_loss:2-3 layer_norm:2-6 lcm:2-3
ldexp:2-3 le:2-3 leaky_relu:1-3 len:1-1 lerp:3-4 less:2-3 less_equal:2-3 lgamma:1-2 lift:1-2
lift_fresh:1-1 linear:2-4 linspace:3-7 list:1-1 ljust:2-3 local_value:1-1 log:1-2 log10:1-2
log1p:1-2 log2:1-2 log_normal:1-5 log_sigmoid:1-2 log_softmax:2-4 logaddexp:2-3 logaddexp2:2-3
logcumsumexp:2-3 logdet:1-1 logical_and:2-3 logical_not:1-2 logical_or:2-3 logical_xor:2-3
logit:1-3 logspace:3-8 logsumexp:2-4 lower:1-1 lstm:9-9 lstm_cell:4-6 lstrip:1-2 lt:2-3
lu_solve:3-4 lu_unpack:2-7 mH:1-1 mT:1-1 manual_seed:1-2 margin_ranking_loss:3-5 masked_fill:3-4
masked_scatter:3-4 masked_select:2-3 mathremainder:2-2 matmul:2-3 matrix_H:1-1 matrix_exp:1-1
matrix_power:2-3 max:1-5 max_pool1d:2-6 max_pool1d_with_indices:2-6 max_pool2d:2-6
max_pool2d_with_indices:2-8 max_pool3d:2-6 max_pool3d_with_indices:2-8 max_unpool2d:3-4
max_unpool3d:5-6 maximum:2-3 mean:1-5 median:1-5 meshgrid:1-2 min:1-5 minimum:2-3 mish:1-2 mm:2-4
mode:1-5 modf:1-1 moveaxis:3-3 movedim:3-3 mse_loss:2-4 msort:1-2 mul:2-3 multi_margin_loss:2-7
multilabel_margin_loss:2-4 multinomial:2-5 multiply:2-3 mv:2-3 mvlgamma:2-3 nan_to_num:1-5
nanmean:1-5 nanmedian:1-5 nanquantile:2-6 nansum:1-5 narrow:4-4 native_batch_norm:8-11
native_channel_shuffle:2-2 native_dropout:3-5 native_group_norm:8-11 native_layer_norm:5-8
native_norm:1-6 ne:2-3 neg:1-2 negative:1-2 nested_to_padded_tensor:2-3 new_empty:2-6
new_empty_strided:3-7 new_full:3-7 new_ones:2-6 new_zeros:2-6 nextafter:2-3 nll_loss:2-6
nll_loss2d:2-6 nll_loss_nd:2-5 nonzero:1-2 nonzero_numpy:1-1 nonzero_static:2-4 norm:1-6
norm_except_dim:1-3 normal:1-8 normal_functional:1-4 not_equal:2-3 nuclear_norm:1-4 numel:1-1
numpy_T:1-1 oct:1-1 one_hot:1-2 ones:1-5 ones_like:1-6 ord:1-1 orgqr:2-3 ormqr:3-6 outer:2-3
output_nr:1-1 owner:1-1 owner_name:1-1 pad:2-4 pad_sequence:1-4 pairwise_distance:2-5
partition:2-2 pdist:1-2 permute:2-2 pin_memory:1-2 pinverse:1-2 pixel_shuffle:2-3
pixel_unshuffle:2-3 poisson:1-3 poisson_nll_loss:6-6 polar:2-3 polygamma:2-3 pop:1-3 popitem:1-1
positive:1-1 pow:2-3 prelu:2-2 prod:1-5 promote_types:2-2 put:3-5 q_per_channel_axis:1-1
q_per_channel_scales:1-2 q_per_channel_zero_points:1-2 q_scale:1-1 q_zero_point:1-1 qscheme:1-1
quantile:2-6 quantize_per_channel:5-6 quantize_per_tensor:4-5 quantize_per_tensor_dynamic:3-4
rad2deg:1-2 radians:1-1 rand:1-6 rand_like:1-7 randint:2-8 randint_like:2-9 randn:1-6
randn_like:1-7 random:1-5 randperm:1-6 range:2-7 ravel:1-1 real:1-1 reciprocal:1-2
record_stream:2-2 reflection_pad1d:2-3 reflection_pad2d:2-3 reflection_pad3d:2-3 relu:1-2
relu6:1-1 remainder:2-3 remove:2-2 renorm:4-5 repeat:2-3 repeat_interleave:1-4 replace:3-4
replication_pad1d:2-3 replication_pad2d:2-3 replication_pad3d:2-3 requires_grad_:1-2 reshape:2-2
reshape_as:2-2 resize:2-4 resize_as:2-4 resize_as_sparse:2-3 resolve_conj:1-1 resolve_neg:1-1
result_type:2-2 retain_grad:1-1 retains_grad:1-1 reverse:1-1 rfind:2-4 rindex:2-4 rjust:2-3
rms_norm:2-4 rnn_relu:9-9 rnn_relu_cell:4-6 rnn_tanh:9-9 rnn_tanh_cell:4-6 roll:2-4 rot90:1-4
round:1-3 row_indices:1-1 row_stack:1-2 rpartition:2-2 rrelu:1-5 rrelu_with_noise:2-7
rrelu_with_noise_functional:2-6 rsplit:1-3 rsqrt:1-2 rstrip:1-2 rsub:2-4 save:2-2
scalar_tensor:1-5 scaled_dot_product_attention:3-8 scatter:4-6 scatter_add:4-5 scatter_reduce:5-7
searchsorted:2-7 seed:1-1 segment_reduce:2-9 select:2-3 select_scatter:4-5 selu:1-1 set:1-6
set_data:2-2 set_grad_enabled:1-1 setdefault:3-3 sgn:1-2 shallow_copy_data_:2-2 sigmoid:1-2
sign:1-2 signbit:1-2 silu:1-2 sin:1-2 sinc:1-2 sinh:1-2 size:1-2 slice:1-5 slice_inverse:2-6
slice_scatter:2-7 slogdet:1-3 slow_conv3d:3-7 slow_conv_dilated2d:3-8 slow_conv_dilated3d:3-8
slow_conv_transpose2d:3-9 slow_conv_transpose3d:3-9 smm:2-2 smooth_l1_loss:2-5
soft_margin_loss:2-4 softmax:2-4 softplus:1-4 softshrink:1-3 sort:1-6 sorted:1-1 split:1-3
split_with_sizes:2-3 splitlines:1-2 sqrt:1-2 square:1-2 squeeze:1-2 sspaddmm:3-6 stack:1-3
startswith:2-4 std:1-5 std_mean:1-6 stft:2-11 storage_offset:1-1 str:1-1 stride:1-2 strip:1-2
sub:2-4 subtract:2-4 sum:1-5 sum_to_size:2-2 svd:1-6 swapaxes:3-3 swapcase:1-1 swapdims:3-3
sym_constrain_range:1-3 sym_constrain_range_for_size:1-3 sym_is_contiguous:1-2 sym_numel:1-1
sym_size:1-2 sym_storage_offset:1-1 sym_stride:1-2 t:1-1 take:2-3 take_along_dim:2-4 tan:1-2
tanh:1-2 tensor:1-4 tensor_split:2-3 tensordot:4-5 thnn_conv2d:3-7 threshold:3-4 tile:2-2
title:1-1 to:1-8 to_dense:1-3 to_here:1-2 to_mkldnn:1-3 to_padded_tensor:2-4 to_sparse:1-4
to_sparse_bsc:2-3 to_sparse_bsr:2-3 to_sparse_csc:1-2 to_sparse_csr:1-2 topk:2-7 trace:1-2
transpose:3-3 trapezoid:1-3 trapz:1-3 triangular_solve:2-7 tril:1-3 tril_indices:2-7
triplet_margin_loss:3-8 triu:1-3 triu_indices:2-7 true_divide:2-3 trunc:1-2 type_as:2-2 unbind:1-2
unflatten:3-3 unflatten_dense_tensors:2-2 unfold:4-4 uniform:1-5 unique_consecutive:1-7
unique_dim:2-8 unique_dim_consecutive:2-7 unsafe_chunk:2-3 unsafe_split:2-4
unsafe_split_with_sizes:2-4 unsqueeze:2-2 update:2-2 upper:1-1 upsample_bicubic2d:3-6
upsample_bilinear2d:3-6 upsample_linear1d:3-5 upsample_nearest1d:2-4 upsample_nearest2d:2-5
upsample_nearest3d:2-6 upsample_trilinear3d:3-7 values:1-1 vander:1-3 var:1-5 var_mean:1-6
vdot:2-3 view:2-2 view_as:2-2 view_as_complex:1-1 view_as_real:1-1 vsplit:2-2 vstack:1-2 wait:1-1
warn:1-2 where:1-4 xlogy:2-3 zero:1-2 zeros:1-5 zeros_like:1-6 zfill:2-2
"""


def _parsed() -> Mapping[str, tuple[int, int]]:
    found = {}
    for word in _TABLE.split():
        name, _, counts = word.partition(":")
        least, _, most = counts.partition("-")
        found[name] = int(least), int(most)
    return found


TAKES = _parsed()
