// Packets to be coded, and the damage that is done to them.
#pragma once

#include "coder_calls.h"

namespace fcmrt::fuzz {

// A packet's layout and its steps' indexes and symbols; no payload yet.
struct Plan {
  Packet packet;
  u32 segments;
};
Plan make_plan(Choices& choices);

// Makes one mistake that an encoder must refuse; gives the status it must refuse it with, ok where
// the steps leave no room for one.
Status spoil_steps(Choices& choices, Packet& packet);

// Damages one thing of a packet: its payload, or what its decoder is told. What comes out may be a
// good packet.
void mutate(Choices& choices, Packet& packet);

}  // namespace fcmrt::fuzz
