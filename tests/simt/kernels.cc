// The kernels that ship, from the very sources.
#include "cuda.h"
//
#include "../../kernels/cuda/kernels.cu"
#include "launch.h"

using namespace fcmrt::cuda;

SIMT_KERNEL(add_checks);
SIMT_KERNEL(close_packets);
SIMT_KERNEL(compare_checks);
SIMT_KERNEL(count_coded);
SIMT_KERNEL(count_events);
SIMT_KERNEL(decode_global);
SIMT_KERNEL(decode_shared);
SIMT_KERNEL(dequantize);
SIMT_KERNEL(encode_segments);
SIMT_KERNEL(gather_elements);
SIMT_KERNEL(gather_packets);
SIMT_KERNEL(list_coded);
SIMT_KERNEL(list_events);
SIMT_KERNEL(open_packets);
SIMT_KERNEL(place_planes);
SIMT_KERNEL(plan_packets);
SIMT_KERNEL(price_steps);
SIMT_KERNEL(quantize);
SIMT_KERNEL(resolve_escapes);
SIMT_KERNEL(scatter_elements);
SIMT_KERNEL(seal_packets);
SIMT_KERNEL(seat_segments);
SIMT_KERNEL(shift_indexes);
SIMT_KERNEL(write_heads);
