// The compiled core as Python sees it: this file only registers.
#include "bindings/bindings.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "Decoding, batching, packing, dequantization and encoding of predictions.";
  m.attr("__version__") = MAAS_VERSION;
  // Why this build is without the extension _cuda; empty: it is not.
  m.attr("NO_CUDA") = MAAS_NO_CUDA;
  maas::bindings::BindErrors(m);
  maas::bindings::BindQueue(m);
  maas::bindings::BindVersion(m);
  maas::bindings::BindInstance(m);
  maas::bindings::BindCore(m);
  maas::bindings::BindFront(m);
}
