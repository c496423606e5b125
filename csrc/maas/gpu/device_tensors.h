// The memory of a device as the memory of runs: what plans are given so that their tensors lie on it.
//
//   DeviceTensors tensors(device);
//   RunPlans plans(&spec, &tensors);
//
// Null from Allocate() says no more than that there is no memory: device->lost() tells whether there will be
// any.
// Threads: any. Keeps nothing of its own: what was not freed stays with the device.
#pragma once

#include <cstddef>
#include <string>

#include "maas/base/status.h"
#include "maas/exec/tensor_memory.h"
#include "maas/gpu/device.h"

namespace maas {

class DeviceTensors final : public TensorMemory {
 public:
  // `device` is not owned and outlives this.
  explicit DeviceTensors(GpuDevice* device) : device_(device) {}

  std::byte* Allocate(size_t bytes) override {
    void* memory = nullptr;
    const Status status = device_->Call("allocate " + std::to_string(bytes) + " bytes for tensors",
                                        &MaasDeviceApi::allocate, bytes, &memory);
    return status.ok() ? static_cast<std::byte*>(memory) : nullptr;
  }
  // What is under way on the device is waited for.
  void Free(std::byte* memory) override { device_->Free(&MaasDeviceApi::release, memory); }

 private:
  GpuDevice* const device_;
};

}  // namespace maas
