#include "cuda/current_device.h"

#include <dlfcn.h>

#include <array>
#include <atomic>

namespace maas::cuda {
namespace {

// What of the driver's own functions the runtime has no equal of. Found at run time, so that the extension
// can be loaded where there is no driver.
struct Driver {
  CUresult (*get_current)(CUcontext*) = nullptr;
  CUresult (*set_current)(CUcontext) = nullptr;
};

const Driver* FindDriver() {
  static const Driver driver = [] {
    Driver found;
    // Never closed: the runtime keeps it open as well.
    if (void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)) {
      found.get_current = reinterpret_cast<CUresult (*)(CUcontext*)>(dlsym(library, "cuCtxGetCurrent"));
      found.set_current = reinterpret_cast<CUresult (*)(CUcontext)>(dlsym(library, "cuCtxSetCurrent"));
    }
    return found;
  }();
  return driver.get_current != nullptr && driver.set_current != nullptr ? &driver : nullptr;
}

// Each device's primary context, once it was current: the one that the runtime, ONNX Runtime and cupy share.
constexpr int32_t kMostDevices = 64;
std::array<std::atomic<CUcontext>, kMostDevices> contexts = {};

}  // namespace

CurrentDevice::CurrentDevice(int32_t device) {
  int count = 0;
  if (device < 0 || device >= kMostDevices) {
    error_ = cudaErrorInvalidDevice;
    return;
  }
  const Driver* const driver = FindDriver();
  if (driver == nullptr) {
    error_ = cudaGetDeviceCount(&count);
    if (error_ == cudaSuccess) error_ = cudaErrorInitializationError;
    return;
  }
  std::atomic<CUcontext>& known = contexts[static_cast<size_t>(device)];
  CUcontext context = known.load(std::memory_order_acquire);
  if (context == nullptr) {
    // The driver must be initialized before it is asked for anything.
    error_ = cudaGetDeviceCount(&count);
    if (error_ == cudaSuccess && device >= count) error_ = cudaErrorInvalidDevice;
    if (error_ != cudaSuccess) return;
  }
  if (driver->get_current(&before_) != CUDA_SUCCESS) {
    error_ = cudaErrorInitializationError;
    return;
  }
  if (context != nullptr) {
    if (context == before_) return;
    changed_ = true;
    if (driver->set_current(context) != CUDA_SUCCESS) error_ = cudaErrorContextIsDestroyed;
    return;
  }
  changed_ = true;
  error_ = cudaSetDevice(device);
  if (error_ == cudaSuccess) error_ = cudaFree(nullptr);  // Before CUDA 12, what begins the context.
  if (error_ != cudaSuccess) return;
  if (driver->get_current(&context) != CUDA_SUCCESS || context == nullptr) {
    error_ = cudaErrorInitializationError;
    return;
  }
  known.store(context, std::memory_order_release);
}

CurrentDevice::~CurrentDevice() {
  if (changed_) (void)FindDriver()->set_current(before_);
}

}  // namespace maas::cuda
