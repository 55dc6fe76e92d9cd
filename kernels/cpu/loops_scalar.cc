#include "scalar_decode.h"
#include "scalar_encode.h"
#include "value_loops.h"

namespace fcmrt::cpu {

const Loops kScalarLoops = {
    "scalar",         list_coded, decode_scalar, spread,     list_events,
    encode_scalar, check,      quantize,      dequantize, shift_indexes,
};

}  // namespace fcmrt::cpu
