// One case of the coder's fuzz target.
#pragma once

#include <span>

#include "fcmrt/platform.h"

namespace fcmrt::fuzz {

// Makes a packet from the bytes' decisions, has every implementation encode it, damages it in many
// ways and has every implementation decode what comes of it. Fails unless all of them agree.
void run_case(std::span<const u8> bytes);

}  // namespace fcmrt::fuzz
