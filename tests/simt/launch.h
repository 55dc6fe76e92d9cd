// Kernels by name, and launches with arguments as the driver takes them: a pointer to each.
//
// Included beside kernels, whose every access is watched: what stands here is not, and uses nothing
// of the standard library that the linker could take for the emulator's own.
#pragma once

#include <cstddef>
#include <utility>

namespace fcmrt::simt {

// What an argument is, by one letter, as Python's struct module has them, `v` for what is no number;
// pointers have a star in front.
template <class T>
struct Letters {
  static constexpr char of_integer(bool is_signed) {
    const char letters[] = {'?', 'b', 'h', '?', 'i', '?', '?', '?', 'q'};
    return is_signed ? letters[sizeof(T)] : char(letters[sizeof(T)] - 'a' + 'A');
  }
  static constexpr char find() {
    if constexpr (requires(T x) { x % x; }) return of_integer(T(-1) < T(0));
    return 'v';
  }
  static constexpr char star = ' ', letter = find();
};
template <>
struct Letters<float> {
  static constexpr char star = ' ', letter = 'f';
};
template <>
struct Letters<void> {
  static constexpr char star = ' ', letter = 'v';
};
template <class T>
struct Letters<T*> {
  static constexpr char star = '*', letter = Letters<T>::letter;
};
template <class T>
struct Letters<const T> : Letters<T> {};

// The stars, one place for each argument, and then the letters.
template <class... Arguments>
struct Signature {
  static constexpr char text[] = {Letters<Arguments>::star..., '|', Letters<Arguments>::letter...,
                                  '\0'};
};

using Caller = void (*)(void* kernel, void** arguments);

void add_kernel(const char* name, const char* signature, void* kernel, Caller call);

template <class... Arguments, std::size_t... i>
__attribute__((no_sanitize("thread"))) void call_with(void* kernel, void** arguments,
                                                      std::index_sequence<i...>) {
  reinterpret_cast<void (*)(Arguments...)>(kernel)(*static_cast<Arguments*>(arguments[i])...);
}

template <class... Arguments>
__attribute__((no_sanitize("thread"))) void call(void* kernel, void** arguments) {
  call_with<Arguments...>(kernel, arguments, std::index_sequence_for<Arguments...>());
}

struct Registered {
  template <class... Arguments>
  Registered(const char* name, void (*kernel)(Arguments...)) {
    add_kernel(name, Signature<Arguments...>::text, reinterpret_cast<void*>(kernel),
               call<Arguments...>);
  }
};

}  // namespace fcmrt::simt

#define SIMT_KERNEL(name) static const fcmrt::simt::Registered registered_##name(#name, name)
