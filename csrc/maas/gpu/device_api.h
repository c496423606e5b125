/* What the core asks of a device: memory, streams, events, and the kernel that moves tensors.
 *
 * Plain C, so that an extension built by another compiler, or Python through ctypes, can fill it. Every
 * function returns 0, or a code that message() explains; a device that failed for good (MAAS_DEVICE_LOST)
 * fails every later call. What fails may have been caused by an earlier call that only began something.
 *
 * Threads: every function may be called from any thread; what it names by a handle, from one at a time. None
 * blocks but synchronize(), allocation, and freeing. The table outlives everything made through it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct MaasSegment;

/* Changes whenever the table or MaasSegment does. */
#define MAAS_DEVICE_API_VERSION 1

typedef struct MaasStream* MaasStreamHandle;
typedef struct MaasEvent* MaasEventHandle;

enum MaasDeviceCode {
  MAAS_DEVICE_OK = 0,
  MAAS_DEVICE_NO_MEMORY = 1, /* Fewer bytes may still be had. */
  MAAS_DEVICE_NOT_READY = 2, /* Of query(): what was recorded has not come to pass. */
  MAAS_DEVICE_INVALID = 3,   /* A wrong argument: a fault of the caller's. */
  MAAS_DEVICE_LOST = 4,      /* Illegal address, ECC, lost device: only a new process can use it again. */
  MAAS_DEVICE_FAILED = 5,    /* Anything else. */
};

typedef struct MaasDeviceInfo {
  char name[256];
  char bus_id[32]; /* "0000:65:00.0". */
  int32_t compute_major;
  int32_t compute_minor;
  int32_t multiprocessors;
  uint64_t total_bytes;
  uint64_t free_bytes; /* At the time of the call. */
} MaasDeviceInfo;

typedef struct MaasDeviceApi {
  uint32_t version; /* MAAS_DEVICE_API_VERSION. */
  uint32_t size;    /* sizeof(MaasDeviceApi). */

  /* Number of devices; 0 without a driver, which is no failure. */
  int (*count)(int32_t* count);
  int (*info)(int32_t device, MaasDeviceInfo* info);
  /* The calling thread's last failure, in words; valid until its next call. */
  const char* (*message)(void);

  /* Memory of the host that the device copies from and to by itself, and memory of the device. Aligned to 256
   * bytes. */
  int (*allocate_pinned)(int32_t device, size_t bytes, void** memory);
  int (*free_pinned)(int32_t device, void* memory);
  int (*allocate)(int32_t device, size_t bytes, void** memory);
  int (*release)(int32_t device, void* memory);

  /* `priority`: 0 is usual, below it comes first, above it last, as far as the device knows such. */
  int (*make_stream)(int32_t device, int32_t priority, MaasStreamHandle* stream);
  int (*free_stream)(int32_t device, MaasStreamHandle stream);
  /* What ONNX Runtime and cupy call it. */
  int (*native_stream)(int32_t device, MaasStreamHandle stream, uint64_t* native);
  /* `timed`: elapsed() may be asked of it. Waiting for it sleeps, and spins never. */
  int (*make_event)(int32_t device, int32_t timed, MaasEventHandle* event);
  int (*free_event)(int32_t device, MaasEventHandle event);
  int (*record)(int32_t device, MaasEventHandle event, MaasStreamHandle stream);
  /* What is put on the stream from now on comes after what was recorded. */
  int (*wait)(int32_t device, MaasStreamHandle stream, MaasEventHandle event);
  int (*query)(int32_t device, MaasEventHandle event);
  int (*synchronize)(int32_t device, MaasEventHandle event);
  int (*elapsed)(int32_t device, MaasEventHandle from, MaasEventHandle to, float* milliseconds);

  /* Begin; in the order of the stream. */
  int (*upload)(int32_t device, MaasStreamHandle stream, void* to, const void* pinned, size_t bytes);
  int (*download)(int32_t device, MaasStreamHandle stream, void* pinned, const void* from, size_t bytes);
  int (*copy)(int32_t device, MaasStreamHandle stream, void* to, const void* from, size_t bytes);
  int (*clear)(int32_t device, MaasStreamHandle stream, void* to, size_t bytes);
  /* Moves `count` segments, as maas/gpu/segment_math.h says, from memory at `from` to memory at `to`. Offsets
   * may lead from there into other memory of the device, which is one space.
   * `segments` and `params` lie on the device; `tiles` is the number of tiles of the last segment's end
   * (MaasSegment::tiles_before and its own). */
  int (*move)(int32_t device, MaasStreamHandle stream, const struct MaasSegment* segments, uint32_t count,
              uint32_t tiles, const void* params, const void* from, void* to);
} MaasDeviceApi;

#ifdef __cplusplus
} /* extern "C" */
#endif
