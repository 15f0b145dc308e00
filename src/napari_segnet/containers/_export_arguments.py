"""Names of what the operations of PyTorch (``aten``) take, over all of their kinds.

From the schemas of PyTorch (``torch._C._jit_get_all_schemas``).
"""

from __future__ import annotations

__all__ = ["ARGUMENTS"]

ARGUMENTS = frozenset(
    """
A B C H HxW K L LD LU LU_data LU_pivots M N P Q R S U UPLO V Vh W X a abs accumulate
accumulate_matches activation addends adjoint alg_id algorithm alibi_slopes align_corners
align_to_window allow_tf32 allow_unused alpha amsgrad anchor angle antialias any api_name append
approximate arg1 arg2 arg3 arg_out assert_msg assume_unique atol attn_bias attn_mask
average_attn_weights averaging_const aweights axis axis0 axis1 b b_hh b_ih bag_size base batch1
batch2 batch_dim batch_first batch_size batch_sizes benchmark beta beta1 beta2 bias bias_defined
bias_g bias_requires_grad bias_sizes bidirectional bin_edges bins bit_width blank block_size
block_table blocksize boundaries buffer ccol_indices cdim cdist ceil_mode cell_state_fwd center
ch_axis chars check_errors check_pinning chunks coalesced coefficients col col_indices
col_offsets col_offsets_hh col_offsets_ih compressed_A compressed_idx compressed_indices
compressed_indices_dtype compute_log_sumexp compute_mode compute_uv compute_v condition
context_id contraction_dim copy correction count count_include_pad counts cpu_dtype cpu_enabled
cpu_nested_shape_example create_graph crow_indices cu_seqlens_k cu_seqlens_q cuda_dtype
cuda_enabled cudnn_enable cudnn_enabled cum_seq_k cum_seq_q custom_mask_type cx cx_ cx_tmp cy
cy_ d dampening data decimals default_value delta dense dense_B dense_dim density dep_token
descending destination deterministic device device_index device_type dgrad_glu diagonal
diagonals dict dilation dim dim0 dim1 dim2 dimension dims dims_other dims_self divisor_override
downscale_factor driver dropout dropout_mask dropout_p dropout_seed dropout_state dst dtype dual
dummy dx edge_order eigenvalues eigenvectors eigvals eigvecs el elem element elements embed_dim
enable_gqa end end_dim eps epsilon equal_nan equation exp_avg_sqs exp_avgs expand1 expand2
expand3 exponent exponential_average_factor fake_quant_enabled fake_quant_on ffn_bias_1
ffn_bias_2 ffn_weight_1 ffn_weight_2 filename fill fill_value fillchar flat forward found_inf
from from_ full full_matrices fuse_transform_0213 fweights g gO generator ggI ggW ggb glu grad
grad_bias grad_cy grad_factor grad_glu grad_hy grad_in grad_input grad_input_mask grad_out
grad_out_ grad_output grad_outputs grad_scale grad_tensors grad_w grad_weight grad_x grad_y
gradient grads grid group groups growth_interval growth_tracker half_to_float has_bias
has_biases hermitian hi hidden_bias hidden_gates hidden_size high hist hop_length hx hx_ hy_ i
i1 i2 i3 idx ignore_index imag impl_index implicit in_features include_last_offset include_self
increasing ind index index_dtype indexing indices info initial innerKTiles inp input input1
input2 input3 input_bias input_dtype input_g input_gates input_lengths input_scale input_shape
input_size input_sizes input_zero_point inputs interpolation interpolation_mode inv_scale
inverse invert invstd is_causal is_coalesced is_crow is_first_step is_matrix is_result is_target
item k k_descale keepdim keepends kernel_size key l label_smoothing lambd largest last_dim_size
layersOutputs layout left length lengths level like list lo log_alpha log_input log_probs
log_target logabsdet logsumexp low lower lr lr_decay ltm m mantissa margin mask mask_check
mask_type masked_grad mat mat1 mat1_meta mat2 matrices max max_exp_avg_sqs max_k max_lengths
max_norm max_q max_seqlen max_seqlen_k max_seqlen_q max_size max_val max_values maximize
maximum_indices maxnorm mean median memory_format message meta min min_indices min_seqlen
min_val minlength mode momentum momentum_buffer_list n n_bins n_fft nan ndim need_weights
neg_log_likelihood negative negative_slope neginf nested_size nested_strides nesterov new
new_data nnz noise non_blocking norm norm_bias_1 norm_bias_2 norm_first norm_type norm_weight_1
norm_weight_2 normalization normalized normalized_ndim normalized_shape nt_example num_chunks
num_classes num_generated num_groups num_head num_heads num_layers num_parallel num_samples
num_splits num_splits_key num_weights numel obj observer_on offs offset offset2bag offsets old
onesided optional ord other other_size out out0 out1 out2 out3 out4 out5 out6 out_channel
out_dim out_dtype out_features out_int32 output output_mask output_padding output_scale
output_size output_zero_point outputs p packed packed_hh packed_ih packed_weight packed_weights
pad pad_mode padded padding padding_idx padding_mode padding_side padding_value params path
pdist per_row_fake_quant per_sample_weights periodic philox_offset philox_seed physical_layout
pin_memory pivot pivots plain_idx plain_indices pos_weight posinf positive pow prepend primal
prob proj_bias proj_size proj_weight q qGroupSize qScale qScaleAndZeros qZeros q_descale qkv
qkv_bias qkv_weight qtensor qtensors quant_max quant_min quasi query r ragged_idx random_samples
range rank ratio rcond real recipe_a recipe_b recompute_scale_factor reduce reduce_range
reduction repeats replacement requires_grad reserve reserveSpace reservedSpace residuals result
retain_graph return_complex return_counts return_debug_mask return_inverse reverse right
rng_state roots rounding_mode row row_indices rstd rtol running_max running_mean running_min
running_var s save_invstd save_mean save_var save_var_transform saved_g saved_norms saved_v
scalar scalar1 scalar2 scalars scale scale_a scale_b scale_backoff_factor scale_factor
scale_factors scale_grad_by_freq scale_growth_factor scale_hh scale_ih scale_result scales
scales_d scales_h scales_w scales_zeros sections seed self self_is_result self_num_batch_dims
self_or_result self_size self_sizes separator seqlen_k sequences seqused_k shape shared
shared_storage_dqdkdv shifts side sigma sign singular_values size sizes skip_first sobolstate
solution some sorted sorted_indices sorted_sequence sorter source spacing sparse sparse_dim
sparse_grad split_k split_k_mode split_size split_sizes src stable stacklevel start start_dim
state_steps state_sums std step steps storage_offset stride string substr sum_S sum_dy
sum_dy_xmu sumdim swap swizzle_a swizzle_b symmetric_quant t tabsize tangent target
target_lengths targets tau tensor tensor1 tensor2 tensor_indices_or_sections tensors tensors1
test_element test_elements the_template theta thread_masks threshold timeout to to_add tol total
total_L total_length total_weight train training transpose transpose_result transposed type
type1 type2 unbiased unitriangular unpack_data unpack_pivots unroll_dim unsafe unsorted_indices
unused update upper upscale_factor use_cutlass use_dynamic use_fast_accum use_gelu
use_input_stats v v_descale val value values var vec vec1 vec2 w_hh w_ih weight weight0 weight1
weight2 weight3 weight4 weight_arr weight_buf weight_decay weight_g weight_scale weight_stride0
weight_zero_point weights width win_length window window_length window_size window_size_left
window_size_right with_replacement workspace wrap x x1 x2 y z z_state zero_infinity zero_point
zero_point_hh zero_point_ih zero_points
""".split()
)
