#include "cuda/errors.h"

#include <array>
#include <cstdio>

namespace maas::cuda {
namespace {

thread_local std::array<char, 512> message = {};

// As an old driver looks like none to those who ask for devices.
bool HasDriver() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess && version != 0;
}

}  // namespace

MaasDeviceCode CodeOf(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return MAAS_DEVICE_OK;
    case cudaErrorMemoryAllocation:
      return MAAS_DEVICE_NO_MEMORY;
    case cudaErrorNotReady:
      return MAAS_DEVICE_NOT_READY;
    case cudaErrorInvalidValue:
    case cudaErrorInvalidDevice:
    case cudaErrorInvalidResourceHandle:
    case cudaErrorInvalidConfiguration:
    case cudaErrorInvalidDevicePointer:
    case cudaErrorInvalidMemcpyDirection:
      return MAAS_DEVICE_INVALID;
    // After these every call fails until the process ends.
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContextIsDestroyed:
    case cudaErrorDeviceUninitialized:
    case cudaErrorMpsClientTerminated:
#if CUDART_VERSION >= 12080
    case cudaErrorContained:
#endif
    // What a device that fell off the bus gives.
    case cudaErrorUnknown:
      return MAAS_DEVICE_LOST;
    default:
      return MAAS_DEVICE_FAILED;
  }
}

int Result(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return MAAS_DEVICE_OK;
  (void)cudaGetLastError();
  const bool no_driver = error == cudaErrorInsufficientDriver && !HasDriver();
  std::snprintf(message.data(), message.size(), "%s: %s (%s)", what,
                no_driver ? "there is no CUDA driver" : cudaGetErrorString(error), cudaGetErrorName(error));
  return CodeOf(error);
}

const char* Message() { return message.data(); }

bool MeansNoDevices(cudaError_t error) {
  return error == cudaErrorNoDevice || (error == cudaErrorInsufficientDriver && !HasDriver());
}

}  // namespace maas::cuda
