#include "avx2_decode.h"
#include "scalar_encode.h"
#include "value_loops.h"

namespace fcmrt::cpu {

const Loops kAvx2Loops = {
    "avx2",        list_coded, decode_avx2, spread,     list_events,
    encode_scalar, check,      quantize,    dequantize, shift_indexes,
};

}  // namespace fcmrt::cpu
