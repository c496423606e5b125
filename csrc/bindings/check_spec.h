// What the core takes for granted of a spec, checked where Python hands one in.
#pragma once

#include "maas/model/spec.h"

namespace maas::bindings {

// Throws std::invalid_argument naming the tensor whose axes, pad group or sources point to nothing.
void CheckSpec(const ModelSpec& model);

}  // namespace maas::bindings
