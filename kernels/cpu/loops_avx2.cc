#include "avx2_decode.h"
#include "avx2_encode.h"
#include "avx2_skip.h"
#include "value_loops.h"

namespace fcmrt::cpu {

const Loops kAvx2Loops = {
    "avx2",      list_coded_avx2, decode_avx2, spread_avx2, list_events_avx2,
    encode_avx2, check,           quantize,    dequantize,  shift_indexes,
};

}  // namespace fcmrt::cpu
