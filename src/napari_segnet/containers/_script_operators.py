"""What each operation of PyTorch takes, over all of its kinds: how many values, and of which types.

A line of the table: name, least and most values, a letter for each of them in order: a tensor
(``t``), a list of tensors (``T``) or of numbers (``l``), a whole number (``i``), a number (``n``),
yes or no (``b``), a text (``s``), a value that is not None (``v``), a tensor or None (``o``), a
text or None (``u``), or any (``a``).
From the schemas of PyTorch (``torch._C._jit_get_all_schemas``). Others than these are not known,
and may take anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from napari_segnet.containers._script_types import Type, listed

__all__ = ["OPERATORS", "ScriptOperator", "is_operation", "refusal", "takes"]

_TABLE = """
Bool:1-1 Complex:1-2 ComplexImplicit:1-1:t Delete:2-2 Float:1-1 FloatImplicit:1-1:t Generator:0-2
Int:1-1 IntImplicit:1-1:t ScalarImplicit:1-1:t Size:1-1:l __and__:2-2:vv __contains__:2-2
__derive_index:3-3:iii __getitem__:2-2 __iand__:2-2:t __ilshift__:2-2:t __interpolate:1-7:taasaab
__ior__:2-2:t __irshift__:2-2:t __is__:2-2 __isnot__:2-2 __ixor__:2-2:t __lshift__:2-2:vv
__not__:1-1:b __or__:2-2:vv __range_length:3-3:iii __round_to_zero_floordiv:2-2:ii
__rshift__:2-2:vv __upsample:1-5:taas __upsample_bilinear:1-3:t __upsample_nearest:1-3:t
__xor__:2-2:vv _convolution:12-13:ttolllblibbbb _debug_has_internal_overlap:1-1:t
_empty_affine_quantized:1-8:l _empty_per_channel_affine_quantized:4-9:l _euclidean_dist:2-2:tt
_fill_mem_eff_dropout_mask_:4-4:tnii _foobar:1-4:tbb _fw_primal:2-2:ti _get_cpu_capability:0-0
_get_tracing_state:0-0 _grad_sum_to_size:2-2:t _grouped_mm:2-5:ttoo _list_to_tensor:1-1:l
_ncf_unsqueeze:2-2:ti _ncf_view:3-3:tli _nnpack_available:0-0
_nnpack_spatial_convolution:4-5:ttoll _no_grad_embedding_renorm_:4-4:ttnn _no_grad_fill_:2-2:tn
_no_grad_normal_:3-4:tnn _no_grad_uniform_:3-4:tnn _no_grad_zero_:1-1:t _philox_key_fold_in:2-2:t
_philox_key_split:2-2:ti _philox_normal:2-4:ttnn _philox_randint:2-4:tt _philox_uniform:2-4:ttnn
_print:1-1:s _safe_softmax:2-3:ti _set_item:3-3 _size_if_not_equal:2-2:ll _spdiags:3-4:ttl
_spsolve:2-3:tt _tensor_to_list:1-1:t _transform_bias_rescale_qkv:3-3:tti abs:1-1:t absolute:1-1:t
acos:1-1 acosh:1-1 adaptive_avg_pool1d:2-2:tl adaptive_avg_pool2d:2-2:tl
adaptive_avg_pool3d:2-2:tl adaptive_max_pool1d:2-2:tl adaptive_max_pool2d:2-2:tl
adaptive_max_pool3d:2-2:tl add:2-3:vvn addbmm:3-5:ttt addcdiv:3-4:ttt addcmul:3-4:ttt
addmm:3-6:ttti addmv:3-5:ttt addr:3-5:ttt adjoint:1-1:t affine_grid_generator:3-3:tlb alias:1-1:t
all:1-3:aab allclose:2-5:ttnnb alpha_dropout:3-3:tnb amax:1-3:tlb amin:1-3:tlb aminmax:1-3:t
angle:1-1 any:1-3:aab append:2-2 arange:1-7:nnn arccos:1-1:t arccosh:1-1:t arcsin:1-1:t
arcsinh:1-1:t arctan:1-1:t arctan2:2-2:tt arctanh:1-1:t argmax:1-3:tab argmin:1-3:tab
argsort:1-4:tib argwhere:1-1:t as_strided:3-4:tll as_strided_scatter:4-5:ttll as_tensor:1-3
asin:1-1 asinh:1-1 atan:1-1 atan2:2-2:vv atanh:1-1 atleast_1d:1-1 atleast_2d:1-1 atleast_3d:1-1
avg_pool1d:2-6:tlllbb avg_pool2d:2-7:tlllbb avg_pool3d:2-7:tlllbb backward:1-4:aaab
baddbmm:3-6:ttti bartlett_window:1-6:ib batch_norm:9-9:toooobnnb
batch_norm_backward_elemt:8-8:ttttottt batch_norm_backward_reduce:8-8:ttttobbb
batch_norm_elemt:6-6:toottn batch_norm_gather_stats:8-8:tttoonni
batch_norm_gather_stats_with_counts:8-8:tttoonnt batch_norm_stats:2-2:tn
batch_norm_update_stats:4-4:toon bernoulli:1-3:t bilinear:3-4:ttto bin:1-1:i
binary_cross_entropy:2-4:ttoi binary_cross_entropy_with_logits:2-5:ttooi bincount:1-3:toi
binomial:2-3:tt bitwise_and:2-2 bitwise_left_shift:2-2 bitwise_not:1-1:t bitwise_or:2-2
bitwise_right_shift:2-2 bitwise_xor:2-2 blackman_window:1-6:ib block_diag:1-1:T bmm:2-3:tti
broadcast_shapes:2-2:ll broadcast_tensors:1-1:T broadcast_to:2-2:tl bucketize:2-4:at
can_cast:2-2:ii capitalize:1-1:s cartesian_prod:1-1:T cat:1-2:Ti cauchy:1-4:tnn ccol_indices:1-1:t
cdist:2-4:ttn ceil:1-1 celu:1-2:tn center:2-3:sis chain_matmul:1-1:T chalf:1-2:t
channel_shuffle:2-2:ti cholesky_inverse:1-2:tb cholesky_solve:2-3:ttb
choose_qparams_optimized:5-5:tiini chr:1-1:i chunk:2-3:tii clamp:1-3:t clamp_max:2-2:t
clamp_min:2-2:t clear:1-1 clip:1-3:t clone:1-2:t coalesce:1-1:t col2im:6-6:tlllll
col_indices:1-1:t column_stack:1-1:T combinations:1-3:tib complex:2-2:tt concat:1-2:Ti
concatenate:1-2:Ti confirmed_by_owner:1-1 conj:1-1:t conj_physical:1-1:t constant_pad_nd:2-3:tln
contiguous:1-2:t conv1d:2-7:ttolali conv2d:2-7:ttolali conv3d:2-7:ttolali
conv_depthwise3d:7-7:ttlolll conv_tbc:3-4:ttti conv_transpose1d:2-8:ttolllil
conv_transpose2d:2-8:ttolllil conv_transpose3d:2-8:ttolllil convolution:9-9:ttolllbli
convolution_backward_overrideable:10-10:tttlllblil convolution_overrideable:9-9:ttolllbli
copy:1-3:aab copy_sparse_to_sparse:2-3:ttb copysign:2-2 corrcoef:1-1:t cos:1-1 cosh:1-1
cosine_embedding_loss:3-5:tttni cosine_similarity:2-4:ttin count:2-4:aaii count_nonzero:1-2:t
cov:1-4:t cpu:1-1:t cross:2-3:tt cross_entropy_loss:2-6:ttoiin crow_indices:1-1:t
ctc_loss:4-7:ttaaiib cuda:1-1:t cummax:2-2:ti cummin:2-2:ti cumprod:2-3:ti cumsum:2-3:ti
cumulative_trapezoid:1-3:tt data:1-1:t deg2rad:1-1:t degrees:1-1 dense_dim:1-1:t dequantize:1-1
det:1-1:t detach:1-1:t device:1-2:si diag:1-2:ti diag_embed:1-4:tiii diagflat:1-2:ti
diagonal:1-4:tiii diagonal_scatter:2-5:ttiii dict:0-1 diff:1-5:tiioo digamma:1-1:t dim:1-1:t
dist:2-3:ttn div:2-3:vv divide:2-3:t divmod:2-2 dot:2-2:tt dropout:3-3:tnb dsplit:2-2:t
dstack:1-1:T element_size:1-1:t elu:1-4:tnnn embedding:2-5:ttibb embedding_bag:3-9:tttbibob
embedding_renorm:4-4:ttnn empty:1-6:l empty_like:1-6:t empty_permuted:2-6:ll
empty_quantized:2-7:lt empty_strided:2-6:ll endswith:2-4:ssii eq:2-2:vv equal:2-2:tt erf:1-1
erfc:1-1 erfinv:1-1:t exp:1-1 exp2:1-1:t expand:2-3:tl expand_as:2-2:tt expandtabs:1-2:si
expm1:1-1 exponential:1-3:tn extend:2-2 eye:1-6:ii fabs:1-1 factorial:1-1:i
feature_alpha_dropout:3-3:tnb feature_dropout:3-3:tnb fill:2-2:t fill_diagonal_:2-3:tnb
find:2-4:ssii fix:1-1:t flatten:1-3:tii flatten_dense_tensors:1-1:T flip:2-2:tl fliplr:1-1:t
flipud:1-1:t float_power:2-2 floor:1-1 floor_divide:2-2:t floordiv:2-2:vv fmax:2-2:tt fmin:2-2:tt
fmod:2-2:vv frac:1-1:t fractional_max_pool2d:4-4:tllt fractional_max_pool3d:4-4:tllt frexp:1-1
frobenius_norm:2-3:tlb from_file:1-7:s full:2-6:ln full_like:2-7:tn
fused_moving_avg_obs_fake_quant:11-13:tttttttniiibb gamma:1-1 gather:3-4:tit gcd:2-2 ge:2-2:vv
gelu:1-2:t geometric:2-3:tn geqrf:1-1:t ger:2-2:tt get:2-3 get_autocast_dtype:1-1:s
get_device:1-1:t get_gradients:1-1:i glu:1-2:ti grad:2-6:TTaabb gradient:1-4:t greater:2-2:t
greater_equal:2-2:t grid_sampler:5-5:ttiib grid_sampler_2d:5-5:ttiib grid_sampler_3d:5-5:ttiib
group_norm:2-6:tioonb gru:9-9:ttaaaaabb gru_cell:4-6:ttttoo gt:2-2:vv hamming_window:1-8:ibnn
hann_window:1-6:ib hardshrink:1-2:tn hardsigmoid:1-1:t hardswish:1-1:t hardtanh:1-3:tnn hash:1-1
hash_tensor:1-4:tl heaviside:2-2:tt hex:1-1:i hinge_embedding_loss:2-4:ttni histc:1-4:tinn
histogram:1-5:t histogramdd:2-5:taaob hsplit:2-2:t hspmm:2-2:tt hstack:1-1:T huber_loss:2-4:ttin
hypot:2-2:tt i0:1-1:t igamma:2-2:tt igammac:2-2:tt im2col:5-5:tllll imag:1-1:t index:2-4:aaii
index_add:4-5:titt index_copy_:4-4:titt index_fill:4-4:tit index_put:3-4:tatb
index_reduce:5-6:titts index_select:3-3:tit indices:1-1:t initial_seed:1-1 inner:2-2:tt
insert:3-3:ai instance_norm:9-9:toooobnnb int_repr:1-1:t inverse:1-1:t is_autocast_cpu_enabled:0-0
is_autocast_enabled:0-0 is_coalesced:1-1:t is_complex:1-1:t is_conj:1-1:t is_contiguous:1-2:ti
is_distributed:1-1:t is_floating_point:1-1:t is_grad_enabled:0-0 is_inference:1-1:t is_leaf:1-1:t
is_neg:1-1:t is_non_overlapping_and_dense:1-1:t is_nonzero:1-1:t is_owner:1-1 is_pinned:1-2:t
is_same_size:2-2:tt is_scripting:0-0 is_set_to:2-2:tt is_signed:1-1:t
is_strides_like_format:2-2:ti is_vulkan_available:0-0 isalnum:1-1:s isalpha:1-1:s
isclose:2-5:ttnnb isdecimal:1-1:s isdigit:1-1:s isfinite:1-1 isidentifier:1-1:s isin:2-4 isinf:1-1
islower:1-1:s isnan:1-1 isneginf:1-1:t isnumeric:1-1:s isposinf:1-1:t isprintable:1-1:s
isreal:1-1:t isspace:1-1:s istft:2-10:tiaaobbaab istitle:1-1:s isupper:1-1:s item:1-1:t items:1-1
join:2-2:s kaiser_window:1-7:ibn keys:1-1 kl_div:2-4:tti kron:2-2:tt kthvalue:2-4:tiib
l1_loss:2-3:tti layer_norm:2-6:tloonb lcm:2-2:tt ldexp:2-2 le:2-2:vv leaky_relu:1-2:tn len:1-1
lerp:3-3:tt less:2-2:t less_equal:2-2:t lgamma:1-1 lift:1-1:t lift_fresh:1-1:t linear:2-3:tto
linspace:3-7:aai list:1-1 ljust:2-3:sis local_value:1-1 log:1-2 log10:1-1 log1p:1-1 log2:1-1:t
log_normal:1-4:tnn log_sigmoid:1-1:t log_softmax:2-3:ti logaddexp:2-2:tt logaddexp2:2-2:tt
logcumsumexp:2-2:ti logdet:1-1:t logical_and:2-2:tt logical_not:1-1:t logical_or:2-2:tt
logical_xor:2-2:tt logit:1-2:t logspace:3-8:aain logsumexp:2-3:tlb lower:1-1:s lstm:9-9:taTaaaabb
lstm_cell:4-6:tTttoo lstrip:1-2:ss lt:2-2:vv lu_solve:3-3:ttt lu_unpack:2-4:ttbb mH:1-1:t mT:1-1:t
manual_seed:1-2:ai margin_ranking_loss:3-5:tttni masked_fill:3-3:tt masked_scatter:3-3:ttt
masked_select:2-2:tt mathremainder:2-2:vv matmul:2-2:tt matrix_H:1-1:t matrix_exp:1-1:t
matrix_power:2-2:ti max:1-3:tab max_pool1d:2-6:tllllb max_pool1d_with_indices:2-6:tllllb
max_pool2d:2-6:tllllb max_pool2d_with_indices:2-6:tllllb max_pool3d:2-6:tllllb
max_pool3d_with_indices:2-6:tllllb max_unpool2d:3-3:ttl max_unpool3d:5-5:ttlll maximum:2-2:tt
mean:1-4:tab median:1-3:tib meshgrid:1-2:T min:1-3:tab minimum:2-2:tt mish:1-1:t mm:2-3:tti
mode:1-3:tib modf:1-1:n moveaxis:3-3:t movedim:3-3:t mse_loss:2-3:tti msort:1-1:t mul:2-2:vv
multi_margin_loss:2-6:ttnnoi multilabel_margin_loss:2-3:tti multinomial:2-4:tib multiply:2-2:t
mv:2-2:tt mvlgamma:2-2:ti nan_to_num:1-4:t nanmean:1-4:tab nanmedian:1-3:tib nanquantile:2-5:taab
nansum:1-4:tab narrow:4-4:tiai native_batch_norm:8-8:toooobnn native_channel_shuffle:2-2:ti
native_dropout:3-3:tn native_group_norm:8-8:tooiiiin native_layer_norm:5-5:tloon
native_norm:1-5:talb ne:2-2:vv neg:1-1 negative:1-1:t nested_to_padded_tensor:2-3:tn
new_empty:2-6:tl new_empty_strided:3-7:tll new_full:3-7:tln new_ones:2-6:tl new_zeros:2-6:tl
nextafter:2-2:tt nll_loss:2-5:ttoii nll_loss2d:2-5:ttoii nll_loss_nd:2-5:ttoii nonzero:1-1:t
nonzero_numpy:1-1:t nonzero_static:2-3:t norm:1-5:talb norm_except_dim:1-3:tii normal:1-8
normal_functional:1-4:tnn not_equal:2-2:t nuclear_norm:1-3:tab numel:1-1:t numpy_T:1-1:t oct:1-1:i
one_hot:1-2:ti ones:1-5:l ones_like:1-6:t ord:1-1:s orgqr:2-2:tt ormqr:3-5:tttbb outer:2-2:tt
output_nr:1-1:t owner:1-1 owner_name:1-1 pad:2-4:tls pad_sequence:1-4:Tbns
pairwise_distance:2-5:ttnnb partition:2-2:ss pdist:1-2:tn permute:2-2:tl pin_memory:1-2:t
pinverse:1-2:tn pixel_shuffle:2-2:ti pixel_unshuffle:2-2:ti poisson:1-2:t
poisson_nll_loss:6-6:ttbbni polar:2-2 polygamma:2-2 pop:1-3 popitem:1-1 positive:1-1:t pow:2-2:vv
prelu:2-2:tt prod:1-4:tib promote_types:2-2:ii put:3-4:tttb q_per_channel_axis:1-1:t
q_per_channel_scales:1-1:t q_per_channel_zero_points:1-1:t q_scale:1-1:t q_zero_point:1-1:t
qscheme:1-1:t quantile:2-5:taab quantize_per_channel:5-5:tttii quantize_per_tensor:4-4:aaai
quantize_per_tensor_dynamic:3-3:tib rad2deg:1-1:t radians:1-1 rand:1-6:l rand_like:1-7:t
randint:2-8:ial randint_like:2-9:tai randn:1-6:l randn_like:1-7:t random:1-4:ti randperm:1-6:i
range:2-7:nnn ravel:1-1:t real:1-1:t reciprocal:1-1:t record_stream:2-2:t reflection_pad1d:2-2:tl
reflection_pad2d:2-2:tl reflection_pad3d:2-2:tl relu:1-1:t relu6:1-1:t remainder:2-2:vv remove:2-2
renorm:4-4:tnin repeat:2-2:tl repeat_interleave:1-4:t replace:3-4:sssi replication_pad1d:2-2:tl
replication_pad2d:2-2:tl replication_pad3d:2-2:tl requires_grad_:1-2:tb reshape:2-2:tl
reshape_as:2-2:tt resize:2-3:tl resize_as:2-3:tt resize_as_sparse:2-2:tt resolve_conj:1-1:t
resolve_neg:1-1:t result_type:2-2 retain_grad:1-1:t retains_grad:1-1:t reverse:1-1 rfind:2-4:ssii
rindex:2-4:ssii rjust:2-3:sis rms_norm:2-4:tlo rnn_relu:9-9:ttaaaaabb rnn_relu_cell:4-6:ttttoo
rnn_tanh:9-9:ttaaaaabb rnn_tanh_cell:4-6:ttttoo roll:2-3:tll rot90:1-3:til round:1-2
row_indices:1-1:t row_stack:1-1:T rpartition:2-2:ss rrelu:1-5:tnnb rrelu_with_noise:2-6:ttnnb
rrelu_with_noise_functional:2-6:ttnnb rsplit:1-3:ssi rsqrt:1-1:t rstrip:1-2:ss rsub:2-3:tan
save:2-2:as scalar_tensor:1-5:n scaled_dot_product_attention:3-8:tttonb scatter:4-5:tit
scatter_add:4-4:titt scatter_reduce:5-6:titts searchsorted:2-6:t seed:1-1 segment_reduce:2-8:ts
select:2-3:aii select_scatter:4-4:ttii selu:1-1:t set:1-5:taill set_data:2-2:tt
set_grad_enabled:1-1:b setdefault:3-3 sgn:1-1:t shallow_copy_data_:2-2:tt sigmoid:1-1:t sign:1-1:t
signbit:1-1:t silu:1-1:t sin:1-1 sinc:1-1:t sinh:1-1 size:1-2:ti slice:1-5:aaaai
slice_inverse:2-6:ttiaai slice_scatter:2-6:ttiaai slogdet:1-1:t slow_conv3d:3-6:ttloll
slow_conv_dilated2d:3-7:ttlolll slow_conv_dilated3d:3-7:ttlolll slow_conv_transpose2d:3-8:ttlollll
slow_conv_transpose3d:3-8:ttlollll smm:2-2:tt smooth_l1_loss:2-4:ttin soft_margin_loss:2-3:tti
softmax:2-3:ti softplus:1-3:tnn softshrink:1-2:tn sort:1-4:aab sorted:1-1 split:1-3:aai
split_with_sizes:2-3:tli splitlines:1-2:sb sqrt:1-1 square:1-1:t squeeze:1-2:t sspaddmm:3-5:ttt
stack:1-2:Ti startswith:2-4:ssii std:1-4:tabb std_mean:1-4:tabb stft:2-11:tiaaob
storage_offset:1-1:t str:1-1 stride:1-2:ti strip:1-2:ss sub:2-3:vvn subtract:2-3:tan sum:1-4:aab
sum_to_size:2-2:tl svd:1-3:tbb swapaxes:3-3:tii swapcase:1-1:s swapdims:3-3:tii
sym_constrain_range:1-3:n sym_constrain_range_for_size:1-3:n sym_is_contiguous:1-2:ti
sym_numel:1-1:t sym_size:1-2:ti sym_storage_offset:1-1:t sym_stride:1-2:ti t:1-1:t take:2-2:tt
take_along_dim:2-3:tt tan:1-1 tanh:1-1 tensor:1-4 tensor_split:2-3:tai tensordot:4-4:ttll
thnn_conv2d:3-6:ttloll threshold:3-3:tnn tile:2-2:tl title:1-1:s to:1-8:taab to_dense:1-3:t
to_here:1-2:an to_mkldnn:1-2:t to_padded_tensor:2-3:tn to_sparse:1-4:ti to_sparse_bsc:2-3:tl
to_sparse_bsr:2-3:tl to_sparse_csc:1-2:t to_sparse_csr:1-2:t topk:2-5:tiibb trace:1-1:t
transpose:3-3:tii trapezoid:1-3:tt trapz:1-3:tt triangular_solve:2-5:ttbbb tril:1-2:ti
tril_indices:2-7:iii triplet_margin_loss:3-8:tttnnnbi triu:1-2:ti triu_indices:2-7:iii
true_divide:2-2:t trunc:1-1:t type_as:2-2:tt unbind:1-2:ti unflatten:3-3:til
unflatten_dense_tensors:2-2:tT unfold:4-4:tiii uniform:1-4:tnn unique_consecutive:1-4:tbb
unique_dim:2-5:tibbb unique_dim_consecutive:2-4:tibb unsafe_chunk:2-3:tii unsafe_split:2-3:tii
unsafe_split_with_sizes:2-3:tli unsqueeze:2-2:ti update:2-2 upper:1-1:s upsample_bicubic2d:3-5:tab
upsample_bilinear2d:3-5:tab upsample_linear1d:3-4:tab upsample_nearest1d:2-3:t
upsample_nearest2d:2-4:t upsample_nearest3d:2-5:t upsample_trilinear3d:3-6:tab values:1-1
vander:1-3:tab var:1-4:tabb var_mean:1-4:tabb vdot:2-2:tt view:2-2:t view_as:2-2:tt
view_as_complex:1-1:t view_as_real:1-1:t vsplit:2-2:t vstack:1-1:T wait:1-1 warn:1-2:si
where:1-3:t xlogy:2-2 zero:1-1:t zeros:1-5:l zeros_like:1-6:t zfill:2-2:si
ops.prim.RaiseException:1-2:su
"""


_OUT = frozenset("out out0 out1 out2 out3 values indices max_values min_indices".split())
"""Names of tensors that results are written into, which the table does not count."""
KEYWORDS = frozenset(
    """
H L LD LU M N P Q R S U V Vh X a activation adjoint alibi_slopes alpha amsgrad approximate arg3
assume_unique atol attn_mask aweights axis beta beta1 beta2 bias bin_edges block_table blocksize
buffer check_errors copy correction dampening decimals dense_dim density descending device dim
dim1 dim2 driver dtype dx edge_order eigenvalues eigenvectors eigvals eigvecs enable_gqa eps
exponent fill_value found_inf fweights generator grad_bias grad_input grad_scale grad_weight
hermitian hist implicit include_self indexing indices info initial interpolation inverse invert
is_coalesced is_first_step is_matrix is_target keepdim layout left lengths log_target logabsdet
lr lr_decay mantissa masked_grad max max_values maximize memory_format min min_indices mode
momentum nesterov non_blocking num_splits num_splits_key offset offsets out out0 out1 out2 out3
out4 out5 out6 out_dtype out_int32 output output_size path pin_memory pivot pivots range rank
reduce requires_grad reserve residuals result right rounding_mode rtol save_invstd save_mean
scale scales seed self_num_batch_dims seqlen_k seqused_k shared_storage_dqdkdv side sign
singular_values size solution sorter spacing sparse_grad stable tau total_weight transpose
unitriangular unsafe upper use_dynamic use_fast_accum use_gelu value values weight weight_decay
window_size window_size_left window_size_right zero_point zero_points
""".split()
)
"""What any operation takes by its name alone, as PyTorch writes it; others it writes by place."""


class ScriptOperator(NamedTuple):
    """How many values an operation takes, and the letters of their types."""

    least: int
    most: int
    kinds: str


def _parsed() -> Mapping[str, ScriptOperator]:
    found = {}
    for word in _TABLE.split():
        name, counts, *kinds = word.split(":")
        least, _, most = counts.partition("-")
        found[name] = ScriptOperator(int(least), int(most), "".join(kinds))
    return found


OPERATORS = _parsed()
_REFUSED: Mapping[str, frozenset[str]] = {
    "t": frozenset(("int", "float", "bool", "str", "List", "Tuple", "Dict", "NoneType", "Union")),
    "T": frozenset(("Tensor", "int", "float", "bool", "str", "Dict", "NoneType")),
    "l": frozenset(("Tensor", "str", "Dict", "bool")),
    "i": frozenset(("float", "bool", "str", "List", "Tuple", "Dict", "NoneType")),
    "n": frozenset(("str", "List", "Tuple", "Dict", "NoneType", "Union")),
    "b": frozenset(("Tensor", "int", "float", "str", "List", "Tuple", "Dict", "NoneType")),
    "s": frozenset(("Tensor", "int", "float", "bool", "List", "Tuple", "Dict", "NoneType")),
    "v": frozenset(("Optional", "NoneType")),
    "u": frozenset(("Tensor", "int", "float", "bool", "List", "Tuple", "Dict")),
    "o": frozenset(("int", "float", "bool", "str", "List", "Tuple", "Dict")),
}
"""Types that are none of a letter's; PyTorch makes a number of a tensor, a list of one number."""


OWN = "__torch__."
"""How the names of a file's own classes begin: they are no numbers, texts or tensors."""


def takes(letter: str, have: Type) -> bool:
    """Tell if a value may stand where a letter of the table does; true where it is not known."""
    if have.name in _REFUSED.get(letter, ()) or (have.name.startswith(OWN) and letter not in "av"):
        return False
    if letter in "Tl" and have.name in {"List", "Tuple"}:
        none = any(one.name in {"Optional", "NoneType"} for one in have.args)
        return not none and all(takes("t" if letter == "T" else "n", one) for one in have.args)
    return True


def is_operation(name: str) -> bool:
    """Tell if an operation has this name, without ``torch`` before it."""
    return name in OPERATORS or name.removesuffix("_") in OPERATORS


def refusal(name: str, given: Sequence[Type], named: Sequence[str | None]) -> str:
    """Return why an operation does not take values; an empty text if it does, or is not known.

    Parameters
    ----------
    name : str
        Of the operation, as it is written.
    given : sequence of Type
        Types of the values that are given by place.
    named : sequence of str or None
        Names of those that are given by name.
    """
    plain = name.removeprefix("torch.").removeprefix("ops.aten.")
    known = OPERATORS.get(name) or OPERATORS.get(plain) or OPERATORS.get(plain.removesuffix("_"))
    if known is None:
        return ""
    if odd := set(named) - KEYWORDS:
        return f"{name} is given {odd.pop()} by its name"
    count = len(given) + sum(one not in _OUT for one in named)
    if not known.least <= count <= known.most:
        return f"{name} is given {len(given)} values"
    for place, (letter, have) in enumerate(zip(known.kinds, given, strict=False)):
        mixed = have.name == "List" and listed(have).name == "Union"
        if not takes(letter, have) or (mixed and known.kinds.startswith("t")):
            return f"{name} is given a {have} as its value {place}"
    return ""
