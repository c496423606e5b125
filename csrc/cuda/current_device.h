// A device that is current on this thread for as long as the object lives; then what was before.
//
// ONNX Runtime and cupy run on the same threads and rely on the current device. What is put back is the
// driver's context, not a number: the number of a thread that has no context yet is 0, and to set it would
// begin a context, hundreds of megabytes, on a device that nobody asked for.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace maas::cuda {

class CurrentDevice {
 public:
  explicit CurrentDevice(int32_t device);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

  // Why the device is not current.
  cudaError_t error() const { return error_; }

 private:
  cudaError_t error_ = cudaSuccess;
  bool changed_ = false;
  CUcontext before_ = nullptr;
};

}  // namespace maas::cuda
