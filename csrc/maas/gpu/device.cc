#include "maas/gpu/device.h"

#include <array>
#include <cmath>
#include <cstring>
#include <utility>

namespace maas {
namespace {

// As the table has them: functions follow the version and the size, and nothing else.
bool IsComplete(const MaasDeviceApi& api) {
  constexpr size_t kFirst = offsetof(MaasDeviceApi, count);
  static_assert((sizeof(MaasDeviceApi) - kFirst) % sizeof(void*) == 0);
  std::array<uintptr_t, (sizeof(MaasDeviceApi) - kFirst) / sizeof(void*)> functions;
  std::memcpy(functions.data(), reinterpret_cast<const std::byte*>(&api) + kFirst, sizeof(functions));
  for (const uintptr_t function : functions) {
    if (function == 0) return false;
  }
  return true;
}

std::string Message(const MaasDeviceApi& api) {
  const char* const message = api.message();
  return message == nullptr || *message == '\0' ? "no message" : message;
}

}  // namespace

Status GpuDevice::Info(MaasDeviceInfo* out) { return Call("say what it is", &MaasDeviceApi::info, out); }

Status GpuDevice::LostStatus() const {
  MutexLock lock(&mu_);
  return lost_status_;
}

Status GpuDevice::Query(MaasEventHandle event, bool* reached) {
  if (lost()) return LostStatus();
  const int code = api_->query(index_, event);
  *reached = code == MAAS_DEVICE_OK;
  return *reached || code == MAAS_DEVICE_NOT_READY ? Status() : Failed(code, "query an event");
}

Status GpuDevice::Failed(int code, std::string_view what) {
  std::string message = "device " + std::to_string(index_) + " could not ";
  message.append(what).append(": ").append(Message(*api_));
  switch (code) {
    case MAAS_DEVICE_NO_MEMORY:
      return Status(Code::kResourceExhausted, "DEVICE_OUT_OF_MEMORY", std::move(message));
    case MAAS_DEVICE_LOST: {
      MutexLock lock(&mu_);
      if (lost_status_.ok()) lost_status_ = Status(Code::kUnavailable, "DEVICE_LOST", std::move(message));
      lost_.store(true, std::memory_order_release);
      return lost_status_;
    }
    default:
      return Status(Code::kInternal, "DEVICE_FAILED", std::move(message));
  }
}

Status DeviceTable::Make(const MaasDeviceApi* api, std::unique_ptr<DeviceTable>* out) {
  // Nothing behind the size is read before the size is known to be ours.
  if (api->version != MAAS_DEVICE_API_VERSION || api->size != sizeof(MaasDeviceApi)) {
    return Status(Code::kInternal, "DEVICE_FAILED",
                  "expected devices' functions of version " + std::to_string(MAAS_DEVICE_API_VERSION) +
                      " in " + std::to_string(sizeof(MaasDeviceApi)) + " bytes, got version " +
                      std::to_string(api->version) + " in " + std::to_string(api->size));
  }
  if (!IsComplete(*api)) {
    return Status(Code::kInternal, "DEVICE_FAILED", "expected all of the devices' functions, got a null");
  }
  int32_t count = 0;
  if (api->count(&count) != MAAS_DEVICE_OK || count < 0) {
    return Status(Code::kInternal, "DEVICE_FAILED", "devices could not be counted: " + Message(*api));
  }
  *out = std::make_unique<DeviceTable>(Key(), api, count);
  return {};
}

DeviceTable::DeviceTable(Key, const MaasDeviceApi* api, int32_t count) {
  for (int32_t index = 0; index < count; ++index) devices_.emplace_back(api, index);
}

Status DeviceEvent::Make(GpuDevice* device, bool timed, DeviceEvent* out) {
  MaasEventHandle event = nullptr;
  MAAS_RETURN_IF_ERROR(device->Call("make an event", &MaasDeviceApi::make_event, timed ? 1 : 0, &event));
  out->event_ = {event, {device}};
  return {};
}

Status DeviceEvent::Query(bool* reached) const { return device()->Query(event_.get(), reached); }

Status DeviceEvent::Synchronize() const {
  return device()->Call("wait for an event", &MaasDeviceApi::synchronize, event_.get());
}

Status DeviceEvent::Elapsed(const DeviceEvent& from, const DeviceEvent& to, int64_t* ns) {
  float milliseconds = 0;
  MAAS_RETURN_IF_ERROR(from.device()->Call("tell the time between events", &MaasDeviceApi::elapsed,
                                           from.event_.get(), to.event_.get(), &milliseconds));
  *ns = std::llround(static_cast<double>(milliseconds) * 1e6);
  return {};
}

Status DeviceStream::Make(GpuDevice* device, int32_t priority, DeviceStream* out) {
  MaasStreamHandle handle = nullptr;
  MAAS_RETURN_IF_ERROR(device->Call("make a stream", &MaasDeviceApi::make_stream, priority, &handle));
  DeviceStream made;
  made.stream_ = {handle, {device}};
  MAAS_RETURN_IF_ERROR(
      device->Call("name a stream", &MaasDeviceApi::native_stream, made.stream_.get(), &made.native_));
  *out = std::move(made);
  return {};
}

Status DeviceStream::Upload(void* to, const void* pinned, size_t bytes) const {
  if (bytes == 0) return {};
  return device()->Call("upload", &MaasDeviceApi::upload, stream_.get(), to, pinned, bytes);
}

Status DeviceStream::Download(void* pinned, const void* from, size_t bytes) const {
  if (bytes == 0) return {};
  return device()->Call("download", &MaasDeviceApi::download, stream_.get(), pinned, from, bytes);
}

Status DeviceStream::Copy(void* to, const void* from, size_t bytes) const {
  if (bytes == 0) return {};
  return device()->Call("copy", &MaasDeviceApi::copy, stream_.get(), to, from, bytes);
}

Status DeviceStream::Clear(void* to, size_t bytes) const {
  if (bytes == 0) return {};
  return device()->Call("clear memory", &MaasDeviceApi::clear, stream_.get(), to, bytes);
}

Status DeviceStream::Move(const MaasSegment* segments, uint32_t count, uint32_t tiles, const void* params,
                          const void* from, void* to) const {
  if (count == 0) return {};
  return device()->Call("move segments", &MaasDeviceApi::move, stream_.get(), segments, count, tiles, params,
                        from, to);
}

Status DeviceStream::Record(const DeviceEvent& event) const {
  return device()->Call("record an event", &MaasDeviceApi::record, event.event_.get(), stream_.get());
}

Status DeviceStream::Wait(const DeviceEvent& event) const {
  return device()->Call("wait for an event on a stream", &MaasDeviceApi::wait, stream_.get(),
                        event.event_.get());
}

}  // namespace maas
