#include "avx512_decode.h"
#include "avx512_encode.h"
#include "value_loops.h"

namespace fcmrt::cpu {

const Loops kAvx512Loops = {
    "avx512",      list_coded_avx512, decode_avx512, spread_avx512, list_events_avx512,
    encode_avx512, check,             quantize,      dequantize,    shift_indexes,
};

}  // namespace fcmrt::cpu
