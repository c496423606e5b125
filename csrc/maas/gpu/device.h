// What a device gives, owned: its memory, its streams and its events, over the table of device_api.h.
//
// Usage:
//   std::unique_ptr<DeviceTable> table;
//   MAAS_RETURN_IF_ERROR(DeviceTable::Make(api, &table));
//   PinnedMemory pinned;
//   MAAS_RETURN_IF_ERROR(PinnedMemory::Allocate(table->device(0), bytes, &pinned));
//   MAAS_RETURN_IF_ERROR(stream.Upload(memory.data(), pinned.data(), bytes));
//   MAAS_RETURN_IF_ERROR(stream.Record(event));
//   MAAS_RETURN_IF_ERROR(event.Synchronize());
//
// Whatever can fail says so with one of three reasons:
// - DEVICE_OUT_OF_MEMORY, RESOURCE_EXHAUSTED: fewer bytes may still be had.
// - DEVICE_LOST, UNAVAILABLE: only a new process can use the device again. From then on everything that is
//   asked of it fails with the first such status.
// - DEVICE_FAILED, INTERNAL: anything else.
// What fails may have been caused by an earlier call that only began something.
//
// Ownership: the table owns its devices and outlives what is made of them. What is freed may be waited for.
// Threads: any; one stream, event or piece of memory from one at a time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include "maas/base/mutex.h"
#include "maas/base/status.h"
#include "maas/gpu/device_api.h"

namespace maas {

class GpuDevice {
 public:
  // `api` is not owned and outlives this.
  GpuDevice(const MaasDeviceApi* api, int32_t index) : api_(api), index_(index) {}
  GpuDevice(const GpuDevice&) = delete;
  GpuDevice& operator=(const GpuDevice&) = delete;

  int32_t index() const { return index_; }
  Status Info(MaasDeviceInfo* out);
  // True from its first DEVICE_LOST on.
  bool lost() const { return lost_.load(std::memory_order_acquire); }
  // That first DEVICE_LOST; ok while it is not lost.
  Status LostStatus() const MAAS_EXCLUDES(mu_);

  // For the classes below. Calls a function of the table with this device's number; `what` says what is
  // tried.
  template <typename... P>
  Status Call(std::string_view what, int (*MaasDeviceApi::*function)(int32_t, P...),
              std::type_identity_t<P>... args) {
    if (lost()) return LostStatus();
    const int code = (api_->*function)(index_, args...);
    return code == MAAS_DEVICE_OK ? Status() : Failed(code, what);
  }
  // The same of query(), which has two answers.
  Status Query(MaasEventHandle event, bool* reached);
  // The same of what frees, also on a lost device: the table has something of its own to free for it.
  template <typename T>
  void Free(int (*MaasDeviceApi::*function)(int32_t, T*), std::type_identity_t<T>* freed) {
    const int code = (api_->*function)(index_, freed);
    if (code != MAAS_DEVICE_OK) Failed(code, "free");
  }

 private:
  // The calling thread's last call failed with `code`.
  Status Failed(int code, std::string_view what) MAAS_EXCLUDES(mu_);

  const MaasDeviceApi* const api_;
  const int32_t index_;
  std::atomic<bool> lost_ = false;
  mutable Mutex mu_;
  Status lost_status_ MAAS_GUARDED_BY(mu_);
};

class DeviceTable {
  // Keeps the constructor, which takes any table, to Make().
  struct Key {
    explicit Key() = default;
  };

 public:
  // `api` is not owned and outlives this. INTERNAL: it was built for another version of the core, or the
  // devices cannot be counted.
  static Status Make(const MaasDeviceApi* api, std::unique_ptr<DeviceTable>* out);
  DeviceTable(Key, const MaasDeviceApi* api, int32_t count);
  DeviceTable(const DeviceTable&) = delete;
  DeviceTable& operator=(const DeviceTable&) = delete;

  // 0 without a driver.
  int32_t count() const { return static_cast<int32_t>(devices_.size()); }
  // REQUIRES: 0 <= index < count().
  GpuDevice* device(int32_t index) { return &devices_[static_cast<size_t>(index)]; }

 private:
  std::deque<GpuDevice> devices_;
};

// Gives back what a unique_ptr holds of a device.
template <auto kFunction>
struct DeviceFree {
  GpuDevice* device = nullptr;
  template <typename T>
  void operator()(T* freed) const {
    device->Free(kFunction, freed);
  }
};

// Bytes of one kind of memory; PinnedMemory and DeviceMemory are those there are.
template <auto kAllocate, auto kFree>
class MemoryOf {
 public:
  MemoryOf() = default;  // Nothing, at null.

  // Replaces what `out` held, unless it fails. Memory of 0 bytes has an address too. Contents are undefined.
  static Status Allocate(GpuDevice* device, size_t bytes, MemoryOf* out) {
    void* memory = nullptr;
    const std::string what = "allocate " + std::to_string(bytes) + " bytes";
    MAAS_RETURN_IF_ERROR(device->Call(what, kAllocate, bytes > 0 ? bytes : 1, &memory));
    out->memory_ = {static_cast<std::byte*>(memory), {device}};
    out->bytes_ = bytes;
    return {};
  }
  // Memory of the device is nothing that the host may read or write.
  std::byte* data() const { return memory_.get(); }
  size_t bytes() const { return memory_ ? bytes_ : 0; }

 private:
  std::unique_ptr<std::byte, DeviceFree<kFree>> memory_;
  size_t bytes_ = 0;
};

// Of the host; the device copies from and to it by itself.
using PinnedMemory = MemoryOf<&MaasDeviceApi::allocate_pinned, &MaasDeviceApi::free_pinned>;
using DeviceMemory = MemoryOf<&MaasDeviceApi::allocate, &MaasDeviceApi::release>;

// A place in a stream: what was put on it before has been done once the event is reached.
class DeviceEvent {
 public:
  DeviceEvent() = default;  // None. REQUIRES of all below: there is one.
  // `timed`: for Elapsed().
  static Status Make(GpuDevice* device, bool timed, DeviceEvent* out);

  // Never recorded is reached, also for Synchronize().
  Status Query(bool* reached) const;
  // Sleeps until it is reached.
  Status Synchronize() const;
  // REQUIRES: both are timed, of one device, and reached.
  static Status Elapsed(const DeviceEvent& from, const DeviceEvent& to, int64_t* ns);

 private:
  friend class DeviceStream;
  GpuDevice* device() const { return event_.get_deleter().device; }

  std::unique_ptr<MaasEvent, DeviceFree<&MaasDeviceApi::free_event>> event_;
};

// Work in order. Everything but Make() only begins it.
class DeviceStream {
 public:
  DeviceStream() = default;  // None. REQUIRES of all below: there is one.
  // `priority`: 0 is usual, below it comes first, above it last.
  static Status Make(GpuDevice* device, int32_t priority, DeviceStream* out);

  // What ONNX Runtime and cupy call it.
  uint64_t native() const { return native_; }

  // Memory at both ends stays as it is until an event that is recorded afterwards is reached.
  Status Upload(void* to, const void* pinned, size_t bytes) const;
  Status Download(void* pinned, const void* from, size_t bytes) const;
  Status Copy(void* to, const void* from, size_t bytes) const;
  Status Clear(void* to, size_t bytes) const;
  // See device_api.h.
  Status Move(const MaasSegment* segments, uint32_t count, uint32_t tiles, const void* params,
              const void* from, void* to) const;

  // From now on the event stands for this place, and no longer for where it was recorded before.
  Status Record(const DeviceEvent& event) const;
  // What is put on this stream from now on comes after what the event stands for at present.
  Status Wait(const DeviceEvent& event) const;

 private:
  GpuDevice* device() const { return stream_.get_deleter().device; }

  std::unique_ptr<MaasStream, DeviceFree<&MaasDeviceApi::free_stream>> stream_;
  uint64_t native_ = 0;
};

}  // namespace maas
