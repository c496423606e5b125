// The table of device_api.h over CUDA.
#pragma once

#include "maas/gpu/device_api.h"

namespace maas::cuda {

// Lives as long as the process.
const MaasDeviceApi* Table();

}  // namespace maas::cuda
