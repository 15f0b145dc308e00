"""Which type the result of an operation of PyTorch has, as far as its name and its values tell.

From the schemas of PyTorch (``torch._C._jit_get_all_schemas``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from napari_segnet.containers._script_operators import OPERATORS
from napari_segnet.containers._script_types import ANY, Type, listed

__all__ = ["result"]

_TENSOR, _INT, _FLOAT, _BOOL = Type("Tensor"), Type("int"), Type("float"), Type("bool")
_STR = Type("str")
_SAME: Mapping[Type, str] = {
    _BOOL: """
Bool __contains__ __is__ __isnot__ __not__ _get_tracing_state _nnpack_available allclose can_cast
confirmed_by_owner endswith equal is_autocast_cpu_enabled is_autocast_enabled is_coalesced
is_complex is_conj is_contiguous is_distributed is_floating_point is_grad_enabled is_inference
is_leaf is_neg is_non_overlapping_and_dense is_nonzero is_owner is_pinned is_same_size is_scripting
is_set_to is_signed is_strides_like_format is_vulkan_available isalnum isalpha isdecimal isdigit
isidentifier islower isnumeric isprintable isspace istitle isupper retains_grad startswith
sym_is_contiguous
""",
    _INT: """
Int IntImplicit __derive_index __range_length __round_to_zero_floordiv
_debug_has_internal_overlap count dense_dim dim element_size factorial find get_device hash
initial_seed len numel ord output_nr q_per_channel_axis q_zero_point rfind rindex seed
storage_offset sym_numel sym_storage_offset
""",
    _STR: """
_get_cpu_capability bin capitalize center chr expandtabs hex join ljust lower lstrip oct
owner_name replace rjust rstrip str strip swapcase title upper zfill
""",
    _FLOAT: "Float FloatImplicit mathremainder q_scale",
    Type("List", (_TENSOR,)): """
broadcast_tensors chunk dsplit gradient hsplit meshgrid nonzero_numpy split_with_sizes
tensor_split unbind unflatten_dense_tensors unsafe_chunk unsafe_split unsafe_split_with_sizes vsplit
""",
    Type("List", (_INT,)): "Size _tensor_to_list broadcast_shapes",
    Type("List", (_STR,)): "rsplit splitlines",
    Type("Tuple", (_TENSOR,) * 2): """
adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d aminmax batch_norm_gather_stats
batch_norm_gather_stats_with_counts batch_norm_stats batch_norm_update_stats
choose_qparams_optimized cummax cummin fractional_max_pool2d fractional_max_pool3d geqrf gru
histogram kthvalue lstm_cell max_pool1d_with_indices max_pool2d_with_indices
max_pool3d_with_indices mode native_dropout rnn_relu rnn_tanh rrelu_with_noise_functional slogdet
std_mean topk triangular_solve var_mean
""",
    Type("Tuple", (_TENSOR,) * 3): """
_transform_bias_rescale_qkv convolution_backward_overrideable lstm lu_unpack native_batch_norm
native_group_norm native_layer_norm svd unique_consecutive unique_dim unique_dim_consecutive
""",
    Type("Tuple", (_TENSOR,) * 4): "batch_norm_backward_reduce embedding_bag",
    Type("Tuple", (_STR,) * 3): "partition rpartition",
}
"""Operations that always have results of one type, others than a tensor."""
_UNKNOWN = """
Complex ComplexImplicit Delete Generator ScalarImplicit __getitem__ _print _set_item
_size_if_not_equal append atan2 atleast_1d atleast_2d atleast_3d backward clear copy copysign
degrees dequantize device dict divmod extend fabs fmod frexp gamma gcd get get_autocast_dtype
get_gradients grad histogramdd index insert item items keys ldexp list local_value manual_seed
median modf nanmedian owner polar pop popitem promote_types qscheme quantize_per_tensor radians
record_stream remove result_type reverse save select set_data set_grad_enabled setdefault slice
sort sorted split sum sym_constrain_range sym_constrain_range_for_size sym_size sym_stride to_here
update values wait warn where all any pow round angle isfinite isinf isnan retain_grad
_no_grad_embedding_renorm_ ops.prim.RaiseException
"""
"""Operations whose results are of several types, of types that are not told apart, or of none."""


def _compared(given: Sequence[Type]) -> Type:
    """Return yes or no for two numbers or texts, a tensor if the first value is one."""
    if given[:1] == [_TENSOR]:
        return _TENSOR
    return _BOOL if len(given) > 1 and set(given[:2]) <= {_INT, _FLOAT, _BOOL, _STR} else ANY


def _computed(given: Sequence[Type]) -> Type:
    """Return a number of two numbers, a whole one only of whole ones."""
    if given[:1] == [_TENSOR]:
        return _TENSOR
    if len(given) < 2 or not set(given[:2]) <= {_INT, _FLOAT}:
        return ANY
    return _FLOAT if _FLOAT in given[:2] else _INT


def _divided(given: Sequence[Type]) -> Type:
    found = _computed(given)
    return _FLOAT if found == _INT else found


def _both(given: Sequence[Type]) -> Type:
    """Return the type of two values of one type."""
    if given[:1] == [_TENSOR]:
        return _TENSOR
    alike = len(given) > 1 and given[0] == given[1] and given[0] in (_INT, _BOOL)
    return given[0] if alike else ANY


def _negated(given: Sequence[Type]) -> Type:
    return given[0] if given and given[0] in (_TENSOR, _INT, _FLOAT) else ANY


def _curved(given: Sequence[Type]) -> Type:
    return _FLOAT if given and given[0] in (_INT, _FLOAT) else _tensor(given)


def _cut(given: Sequence[Type]) -> Type:
    return _INT if given and given[0] in (_INT, _FLOAT) else _tensor(given)


def _tensor(given: Sequence[Type]) -> Type:
    return _TENSOR if given and given[0] == _TENSOR else ANY


def _sizes(given: Sequence[Type]) -> Type:
    return _INT if len(given) > 1 else Type("List", (_INT,))


def _most(given: Sequence[Type]) -> Type:
    """Return a tensor of one or two tensors; along an axis, where they are, too."""
    if len(given) == 1 or (len(given) == 2 and given[1] == _TENSOR):
        return _tensor(given)
    return Type("Tuple", (_TENSOR,) * 2) if len(given) > 1 and given[1] == _INT else ANY


_FOUND: Mapping[Callable[[Sequence[Type]], Type], str] = {
    _compared: "eq ge gt le lt ne",
    _computed: "add floordiv mul remainder sub",
    _divided: "div",
    _both: "__and__ __lshift__ __or__ __rshift__ __xor__",
    _negated: "neg",
    _curved: "acos acosh asin asinh atan atanh cos cosh erf erfc exp expm1 lgamma log10 log1p sin "
    "sinh sqrt tan tanh",
    _cut: "ceil floor",
    _tensor: "log",
    _sizes: "size stride",
    _most: "max min",
}
_RESULTS: Mapping[str, Type | Callable[[Sequence[Type]], Type]] = {
    **dict.fromkeys(OPERATORS, _TENSOR),
    **dict.fromkeys(_UNKNOWN.split(), ANY),
    **{name: kind for kind, names in _SAME.items() for name in names.split()},
    **{name: find for find, names in _FOUND.items() for name in names.split()},
}


def result(name: str, given: Sequence[Type]) -> Type:
    """Return the type of what an operation gives; any where that is not known.

    Parameters
    ----------
    name : str
        Of the operation, as it is written.
    given : sequence of Type
        Types of the values that are given by place.
    """
    plain = name.removeprefix("torch.").removeprefix("ops.aten.")
    if plain == "__getitem__" and given:
        return listed(given[0])
    found = _RESULTS.get(plain) or _RESULTS.get(plain.removesuffix("_")) or ANY
    return found if isinstance(found, Type) else found(list(given))
