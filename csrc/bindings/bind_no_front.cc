// A build without the compiled front: says why there is none.
#include "bindings/bindings.h"

namespace maas::bindings {

void BindFront(pybind11::module_& m) { m.attr("NO_COMPILED_FRONT") = MAAS_NO_FRONT; }

}  // namespace maas::bindings
