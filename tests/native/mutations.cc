#include <algorithm>

#include "fcmrt/escape.h"
#include "packets.h"

namespace fcmrt::fuzz {
namespace {

using Bytes = std::vector<u8>;

constexpr u32 kExtremes[] = {0, 1, 0xFFFF, 0x10000, 0x1FFFF, 0x20000, 0x7FFFFFFF, 0x80000000,
                             0xFFFFFFFE, 0xFFFFFFFF};

void change_byte(Choices& choices, u8& byte) {
  byte = choices.one_in(2) ? byte ^ u8(1 << choices.below(8)) : u8(choices.below(256));
}

void put_u32(Bytes& bytes, std::size_t place, u32 value) {
  if (place + 4 <= bytes.size()) store_u32(bytes.data() + place, value);
}

// Where a segment's bytes begin; the bytes' end if the counts ask for more than there is.
std::size_t segment_begin(const Packet& packet, std::size_t segment) {
  u64 begin = 0;
  for (std::size_t s = 0; s < segment; ++s) {
    begin += 4 * packet.lanes + 2 * u64(packet.payload.words[s]);
  }
  return std::min<u64>(begin, packet.payload.segments.size());
}

u32 choose_segment(Choices& choices, const Packet& packet) {
  return choices.below(u32(packet.payload.words.size()));
}

// ---- states and words

void change_bytes(Choices& choices, Packet& packet) {
  Bytes& bytes = packet.payload.segments;
  if (bytes.empty()) return;
  const auto size = u32(bytes.size());
  if (choices.one_in(4)) {  // near the end, which is what a late round reads
    change_byte(choices, bytes[size - 1 - choices.below(std::min(size, 64u))]);
    return;
  }
  const u32 place = choices.below(size);
  const u32 count = choices.one_in(4) ? choices.between(1, 16) : 1;
  for (u32 i = place; i < std::min(size, place + count); ++i) change_byte(choices, bytes[i]);
}

void change_state(Choices& choices, Packet& packet) {
  const std::size_t begin = segment_begin(packet, choose_segment(choices, packet));
  const u32 state = choices.one_in(2) ? choices.of(kExtremes) : choices.bits() | kStateMin;
  put_u32(packet.payload.segments, begin + 4 * choices.below(packet.lanes), state);
}

void fill_words(Choices& choices, Packet& packet) {
  const u32 s = choose_segment(choices, packet);
  Bytes& bytes = packet.payload.segments;
  const std::size_t begin =
      std::min(bytes.size(), segment_begin(packet, s) + 4 * packet.lanes);
  const std::size_t end = std::max(begin, segment_begin(packet, s + 1));
  const u8 value = choices.of({u8(0), u8(0xFF), u8(0x55)});
  std::fill(bytes.begin() + i64(begin), bytes.begin() + i64(end), value);
}

// ---- lengths

// Loses or adds the last words of a segment, with or without telling.
void resize_words(Choices& choices, Packet& packet) {
  const u32 s = choose_segment(choices, packet);
  Bytes& bytes = packet.payload.segments;
  u32& words = packet.payload.words[s];
  const std::size_t end = segment_begin(packet, s + 1);
  const u32 count = choices.one_in(4) ? choices.below(100) : choices.between(1, 4);
  if (choices.one_in(3)) {
    Bytes more(2 * count);
    for (u8& byte : more) byte = u8(choices.bits());
    bytes.insert(bytes.begin() + i64(end), more.begin(), more.end());
    words += choices.one_in(8) ? 0 : count;
    return;
  }
  const u32 lost = std::min(count, words);
  if (2 * std::size_t(lost) > end) return;
  bytes.erase(bytes.begin() + i64(end - 2 * lost), bytes.begin() + i64(end));
  words -= choices.one_in(8) ? 0 : lost;
}

void cut_bytes(Choices& choices, Packet& packet) {
  Bytes& bytes = packet.payload.segments;
  bytes.resize(choices.below(u32(bytes.size()) + 1));
}

void change_word_count(Choices& choices, Packet& packet) {
  u32& words = packet.payload.words[choose_segment(choices, packet)];
  words = choices.one_in(2) ? choices.of(kExtremes) : words + choices.between(0, 8) - 4;
}

// A wrong border between two segments of the right length in all.
void move_border(Choices& choices, Packet& packet) {
  std::vector<u32>& words = packet.payload.words;
  if (words.size() < 2) return;
  const u32 s = choices.below(u32(words.size()) - 1);
  const u32 moved = std::min(choices.between(1, 40), words[s + 1]);
  words[s] += moved;
  words[s + 1] -= moved;
}

void change_segments(Choices& choices, Packet& packet) {
  std::vector<u32>& words = packet.payload.words;
  const u32 s = choose_segment(choices, packet);
  const auto begin = packet.payload.segments.begin() + i64(segment_begin(packet, s));
  const auto end = packet.payload.segments.begin() + i64(segment_begin(packet, s + 1));
  if (choices.one_in(2) && words.size() > 1) {
    packet.payload.segments.erase(begin, end);
    words.erase(words.begin() + s);
  } else if (words.size() < kMaxSegments) {
    const Bytes again(begin, end);
    packet.payload.segments.insert(end, again.begin(), again.end());
    words.insert(words.begin() + s, words[s]);
  }
}

// ---- escapes

void change_escapes(Choices& choices, Packet& packet) {
  Bytes& bytes = packet.payload.escapes;
  const u32 place = choices.below(u32(bytes.size()) + 1);
  switch (choices.below(6)) {
    case 0: bytes.resize(place); return;
    case 1: bytes.insert(bytes.begin() + place, u8(choices.below(256))); return;
    case 2: {  // another number: of the greatest lengths, or at the end of the 32-bit range
      const u64 code = choices.one_in(2) ? u64(choices.of(kExtremes)) * choices.between(1, 4)
                                         : (u64(1) << 32) + choices.below(200) - 100;
      u8 number[kMaxEscapeBytes];
      const int length = put_escape(number, code);
      const auto ends = [](u8 byte) { return byte < 0x80; };
      const auto begin = std::find_if(bytes.rend() - place, bytes.rend(), ends).base();
      const auto end = std::find_if(begin, bytes.end(), ends);
      const auto next = bytes.erase(begin, end == bytes.end() ? end : end + 1);
      bytes.insert(next, number, number + length);
      return;
    }
    case 3: {  // not the shortest form, or too long
      const Bytes number(choices.between(1, 6), 0x80);
      bytes.insert(bytes.begin() + place, number.begin(), number.end());
      return;
    }
    default:
      if (!bytes.empty()) change_byte(choices, bytes[std::min(place, u32(bytes.size()) - 1)]);
  }
}

// ---- what the decoder is told

CodeStep* choose_step(Choices& choices, Packet& packet) {
  if (packet.steps.empty()) return nullptr;
  return &packet.steps[choices.below(u32(packet.steps.size()))];
}

void change_indexes(Choices& choices, Packet& packet) {
  CodeStep* const step = choose_step(choices, packet);
  if (!step || step->indexes.empty()) return;
  const u32 tables = step->tables->set.count();
  // Mostly tables that there are, sometimes the first that there is not, or any.
  const u32 low = choices.one_in(8) ? tables : 0;
  const u32 high = choices.one_in(8) ? 0xFFFF : std::max(low, tables - 1);
  for (u32 i = choices.one_in(2) ? 1 : choices.between(1, 20); i > 0; --i) {
    const u32 t = std::min(choices.between(low, high), step->wide ? 0xFFFFu : 0xFFu);
    step->indexes[choices.below(u32(step->indexes.size()))] = u16(t);
  }
}

// More or fewer elements than were coded.
void resize_step(Choices& choices, Packet& packet) {
  CodeStep* const step = choose_step(choices, packet);
  if (!step) return;
  const auto count = u32(step->indexes.size());
  const u32 wanted = choices.one_in(2) ? choices.below(count + 1) : count + choices.below(70);
  const u16 more = u16(choices.below(step->tables->set.count()));
  step->indexes.resize(wanted, more);
  step->symbols.resize(wanted);
}

void change_skip(Choices& choices, Packet& packet) {
  CodeStep* const step = choose_step(choices, packet);
  if (step) step->skip = choices.one_in(8) ? 0x7FFFFFFF : choices.below(8);
}

void change_symbol_bytes(Choices& choices, Packet& packet) {
  if (CodeStep* const step = choose_step(choices, packet)) {
    step->symbol_bytes = choices.of({1, 2, 4});
  }
}

void change_steps(Choices& choices, Packet& packet) {
  if (packet.steps.empty()) return;
  if (choices.one_in(2)) {
    packet.steps.pop_back();
  } else {
    packet.steps.push_back(packet.steps[choices.below(u32(packet.steps.size()))]);
  }
}

void change_lanes(Choices& choices, Packet& packet) { packet.lanes = 1u << choices.below(6); }

// Each as often as it stands here: most damage is small, so that decoding goes deep.
constexpr void (*kMutations[])(Choices&, Packet&) = {
    change_bytes, change_bytes, change_bytes, change_bytes, change_bytes, change_bytes,
    change_state, change_state, fill_words,
    resize_words, resize_words, resize_words, cut_bytes, change_word_count,
    move_border, change_segments,
    change_escapes, change_escapes,
    change_indexes, change_indexes,
    resize_step, change_skip, change_symbol_bytes, change_steps, change_lanes,
};

}  // namespace

void mutate(Choices& choices, Packet& packet) { choices.of(kMutations)(choices, packet); }

}  // namespace fcmrt::fuzz
