// The part for NVIDIA GPUs as Python sees it: what is there, and the table that the core and Python reach it
// by.
#include <cuda_runtime_api.h>
#include <pybind11/pybind11.h>

#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/errors.h"
#include "cuda/table.h"

namespace py = pybind11;

namespace maas::cuda {
namespace {

void Check(int code) {
  if (code != MAAS_DEVICE_OK) throw std::runtime_error(Message());
}

int32_t DeviceCount() {
  int32_t count = 0;
  Check(Table()->count(&count));
  return count;
}

std::vector<MaasDeviceInfo> ReadDevices() {
  std::vector<MaasDeviceInfo> devices(static_cast<size_t>(DeviceCount()));
  for (size_t i = 0; i < devices.size(); ++i) Check(Table()->info(static_cast<int32_t>(i), &devices[i]));
  return devices;
}

py::list Devices() {
  std::vector<MaasDeviceInfo> devices;
  {
    // Touches no Python object, and the first look at a device takes a part of a second.
    const py::gil_scoped_release unlocked;
    devices = ReadDevices();
  }
  py::list listed;
  for (const MaasDeviceInfo& info : devices) {
    py::dict device;
    device["name"] = py::str(info.name);
    device["bus_id"] = py::str(info.bus_id);
    device["compute_major"] = info.compute_major;
    device["compute_minor"] = info.compute_minor;
    device["multiprocessors"] = info.multiprocessors;
    device["total_bytes"] = info.total_bytes;
    device["free_bytes"] = info.free_bytes;
    listed.append(device);
  }
  return listed;
}

int Version(cudaError_t (*read)(int*)) {
  int version = 0;
  Check(Result(read(&version), "reading a version"));
  return version;
}
int DriverVersion() { return Version(cudaDriverGetVersion); }
int RuntimeVersion() { return Version(cudaRuntimeGetVersion); }

py::tuple Architectures() {
  std::istringstream words(MAAS_CUDA_ARCHITECTURES);
  py::list names;
  for (std::string name; words >> name;) names.append(name);
  return py::tuple(names);
}

}  // namespace
}  // namespace maas::cuda

PYBIND11_MODULE(_cuda, m) {
  using py::call_guard;
  using py::gil_scoped_release;
  m.doc() = "Memory, streams and kernels of NVIDIA GPUs.";
  // The first call looks for the driver, which takes a part of a second.
  m.def("device_count", &maas::cuda::DeviceCount, call_guard<gil_scoped_release>());
  m.def("devices", &maas::cuda::Devices);
  m.def("driver_version", &maas::cuda::DriverVersion, call_guard<gil_scoped_release>());
  m.def("runtime_version", &maas::cuda::RuntimeVersion);
  m.def("architectures", &maas::cuda::Architectures);
  m.def("table", [] { return reinterpret_cast<uintptr_t>(maas::cuda::Table()); });
}
