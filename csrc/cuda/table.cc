#include "cuda/table.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>

#include "cuda/current_device.h"
#include "cuda/errors.h"
#include "cuda/move.h"

namespace maas::cuda {
namespace {

// Handles are CUDA's own, under another name.
cudaStream_t Native(MaasStreamHandle stream) { return reinterpret_cast<cudaStream_t>(stream); }
cudaEvent_t Native(MaasEventHandle event) { return reinterpret_cast<cudaEvent_t>(event); }

// The result of function(), called while the device is current; `what` begins the message of a failure.
template <typename Function>
int On(int32_t device, const char* what, const Function& function) {
  const CurrentDevice current(device);
  return Result(current.error() == cudaSuccess ? function() : current.error(), what);
}

int Count(int32_t* count) {
  int found = 0;
  const cudaError_t error = cudaGetDeviceCount(&found);
  *count = error == cudaSuccess ? found : 0;
  if (!MeansNoDevices(error)) return Result(error, "counting devices");
  (void)cudaGetLastError();
  return MAAS_DEVICE_OK;
}

cudaError_t ReadInfo(int32_t device, MaasDeviceInfo* info) {
  const auto attribute = [device](cudaDeviceAttr which, int32_t* value) {
    return cudaDeviceGetAttribute(value, which, device);
  };
  cudaDeviceProp properties;
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  cudaError_t error = cudaGetDeviceProperties(&properties, device);
  if (error == cudaSuccess) error = cudaDeviceGetPCIBusId(info->bus_id, sizeof(info->bus_id), device);
  if (error == cudaSuccess) error = attribute(cudaDevAttrComputeCapabilityMajor, &info->compute_major);
  if (error == cudaSuccess) error = attribute(cudaDevAttrComputeCapabilityMinor, &info->compute_minor);
  if (error == cudaSuccess) error = attribute(cudaDevAttrMultiProcessorCount, &info->multiprocessors);
  if (error == cudaSuccess) error = cudaMemGetInfo(&free_bytes, &total_bytes);
  if (error != cudaSuccess) return error;
  std::snprintf(info->name, sizeof(info->name), "%s", properties.name);
  info->free_bytes = free_bytes;
  info->total_bytes = total_bytes;
  return cudaSuccess;
}

int Info(int32_t device, MaasDeviceInfo* info) {
  *info = {};
  return On(device, "reading what the device is", [=] { return ReadInfo(device, info); });
}

int AllocatePinned(int32_t device, size_t bytes, void** memory) {
  // Portable: another device's copies may use it as well.
  return On(device, "allocating pinned memory",
            [=] { return cudaHostAlloc(memory, std::max<size_t>(bytes, 1), cudaHostAllocPortable); });
}
int FreePinned(int32_t device, void* memory) {
  return On(device, "freeing pinned memory", [=] { return cudaFreeHost(memory); });
}
int Allocate(int32_t device, size_t bytes, void** memory) {
  // Of 0 bytes CUDA makes a null pointer.
  return On(device, "allocating memory", [=] { return cudaMalloc(memory, std::max<size_t>(bytes, 1)); });
}
int Release(int32_t device, void* memory) {
  return On(device, "freeing memory", [=] { return cudaFree(memory); });
}

int MakeStream(int32_t device, int32_t priority, MaasStreamHandle* stream) {
  return On(device, "making a stream", [=] {
    int least = 0;
    int greatest = 0;
    cudaError_t error = cudaDeviceGetStreamPriorityRange(&least, &greatest);
    if (error != cudaSuccess) return error;
    cudaStream_t made = nullptr;
    error = cudaStreamCreateWithPriority(&made, cudaStreamNonBlocking, std::clamp(priority, greatest, least));
    *stream = reinterpret_cast<MaasStreamHandle>(made);
    return error;
  });
}
int FreeStream(int32_t device, MaasStreamHandle stream) {
  return On(device, "freeing a stream", [=] { return cudaStreamDestroy(Native(stream)); });
}
int NativeStream(int32_t /*device*/, MaasStreamHandle stream, uint64_t* native) {
  *native = reinterpret_cast<uintptr_t>(stream);
  return MAAS_DEVICE_OK;
}

int MakeEvent(int32_t device, int32_t timed, MaasEventHandle* event) {
  return On(device, "making an event", [=] {
    cudaEvent_t made = nullptr;
    const cudaError_t error = cudaEventCreateWithFlags(
        &made, cudaEventBlockingSync | (timed != 0 ? cudaEventDefault : cudaEventDisableTiming));
    *event = reinterpret_cast<MaasEventHandle>(made);
    return error;
  });
}
int FreeEvent(int32_t device, MaasEventHandle event) {
  return On(device, "freeing an event", [=] { return cudaEventDestroy(Native(event)); });
}
int Record(int32_t device, MaasEventHandle event, MaasStreamHandle stream) {
  return On(device, "recording an event", [=] { return cudaEventRecord(Native(event), Native(stream)); });
}
int Wait(int32_t device, MaasStreamHandle stream, MaasEventHandle event) {
  return On(device, "waiting on a stream",
            [=] { return cudaStreamWaitEvent(Native(stream), Native(event), cudaEventWaitDefault); });
}
int Query(int32_t device, MaasEventHandle event) {
  return On(device, "asking for an event", [=] { return cudaEventQuery(Native(event)); });
}
int Synchronize(int32_t device, MaasEventHandle event) {
  return On(device, "waiting for an event", [=] { return cudaEventSynchronize(Native(event)); });
}
int Elapsed(int32_t device, MaasEventHandle from, MaasEventHandle to, float* milliseconds) {
  return On(device, "reading the time between events",
            [=] { return cudaEventElapsedTime(milliseconds, Native(from), Native(to)); });
}

int CopyOn(int32_t device, const char* what, MaasStreamHandle stream, void* to, const void* from,
           size_t bytes, cudaMemcpyKind kind) {
  return On(device, what, [=] { return cudaMemcpyAsync(to, from, bytes, kind, Native(stream)); });
}
int Upload(int32_t device, MaasStreamHandle stream, void* to, const void* pinned, size_t bytes) {
  return CopyOn(device, "uploading", stream, to, pinned, bytes, cudaMemcpyHostToDevice);
}
int Download(int32_t device, MaasStreamHandle stream, void* pinned, const void* from, size_t bytes) {
  return CopyOn(device, "downloading", stream, pinned, from, bytes, cudaMemcpyDeviceToHost);
}
int Copy(int32_t device, MaasStreamHandle stream, void* to, const void* from, size_t bytes) {
  return CopyOn(device, "copying", stream, to, from, bytes, cudaMemcpyDeviceToDevice);
}
int Clear(int32_t device, MaasStreamHandle stream, void* to, size_t bytes) {
  return On(device, "clearing", [=] { return cudaMemsetAsync(to, 0, bytes, Native(stream)); });
}

int Move(int32_t device, MaasStreamHandle stream, const MaasSegment* segments, uint32_t count, uint32_t tiles,
         const void* params, const void* from, void* to) {
  return On(device, "moving segments", [=] {
    if (tiles == 0) return cudaSuccess;
    if (count == 0) return cudaErrorInvalidValue;
    return LaunchMove(Native(stream), segments, count, tiles, params, from, to);
  });
}

constexpr MaasDeviceApi kTable = {
    .version = MAAS_DEVICE_API_VERSION,
    .size = sizeof(MaasDeviceApi),
    .count = Count,
    .info = Info,
    .message = Message,
    .allocate_pinned = AllocatePinned,
    .free_pinned = FreePinned,
    .allocate = Allocate,
    .release = Release,
    .make_stream = MakeStream,
    .free_stream = FreeStream,
    .native_stream = NativeStream,
    .make_event = MakeEvent,
    .free_event = FreeEvent,
    .record = Record,
    .wait = Wait,
    .query = Query,
    .synchronize = Synchronize,
    .elapsed = Elapsed,
    .upload = Upload,
    .download = Download,
    .copy = Copy,
    .clear = Clear,
    .move = Move,
};

}  // namespace

const MaasDeviceApi* Table() { return &kTable; }

}  // namespace maas::cuda
