// fcmrt.kernels._cpu: the loops as Python sees them. The lock of the interpreter is released around
// the work, and failures are numbers (fcmrt/status.h) that kernels/cpu.py turns into errors.
#include "arrays.h"
#include "pool.h"

NB_MODULE(_cpu, m) {
  using namespace fcmrt::cpu;
  // Engines keep their prepared tables, and may live until the interpreter is gone.
  nb::set_leak_warnings(false);
  nb::class_<Loops> loops(m, "Loops");
  bind_values(loops);
  bind_coder(m, loops);
  m.def("loops", &find_loops, nb::arg("name"), nb::rv_policy::reference);
  m.def("stop_helpers", &stop_helpers, nb::call_guard<Unlocked>());
}
