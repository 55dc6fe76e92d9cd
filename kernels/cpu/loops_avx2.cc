#include "avx2_decode.h"
#include "scalar_encode.h"
#include "value_loops.h"

namespace fcmrt::cpu {
namespace {

// There is no compress-store to place words with. The compiler makes more of the portable loop
// without this unit's flags.
u8* encode_avx2(const TableView& view, const u32* numbers, u64 count, u32 lanes, u32* states,
                u8* p) {
  return kScalarLoops.encode(view, numbers, count, lanes, states, p);
}

}  // namespace

const Loops kAvx2Loops = {
    "avx2",        list_coded, decode_avx2, spread,     list_events,
    encode_avx2,   check,      quantize,    dequantize, shift_indexes,
};

}  // namespace fcmrt::cpu
