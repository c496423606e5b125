/* One box of elements that a kernel moves: where it lies, where it goes, what happens to each element.
 *
 * Plain data, made on the host by segment_plan.h, uploaded with the bytes it speaks of, read by the kernels.
 * The layout is part of the device's table (device_api.h) and the same for every compiler. Offsets count
 * bytes from the memory that the kernel is given; strides count elements.
 */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A box of more loops than this is more than one segment. */
#define MAAS_SEGMENT_LOOPS 4
/* Elements that a block of threads moves at a time. */
#define MAAS_TILE_ELEMENTS 4096

enum MaasSegmentKind {
  MAAS_COPY = 0,       /* Elements of `size` bytes as they are. */
  MAAS_FILL = 1,       /* `value`, `size` bytes of it, whatever lies at the source. */
  MAAS_DEQUANTIZE = 2, /* int8 or uint8 to FP32, FP16 or BF16. */
  MAAS_QUANTIZE = 3,   /* The other way. */
  MAAS_CAST = 4,       /* Between FP32, FP16 and BF16: by way of FP32, rounded to nearest, ties to even. */
};

typedef struct MaasSegmentLoop {
  uint32_t extent;
  uint32_t axis; /* Not 0: each step is one index of the axis of quantization. */
  int64_t src_stride;
  int64_t dst_stride;
} MaasSegmentLoop;

/* The box is `run` elements that follow one another in both tensors, repeated by `loop_count` nested loops,
 * the first of which is the innermost. */
typedef struct MaasSegment {
  uint64_t src; /* Of the first element. */
  uint64_t dst;
  uint64_t value;        /* MAAS_FILL. */
  uint64_t elements;     /* Of the whole box; below 2^40. Never 0. */
  uint32_t tiles_before; /* Tiles of the segments before it. */
  uint32_t scales; /* Bytes from the parameters to the scale of the box's first index of the axis: a float
                      each; those of the indices that follow it lie behind. */
  uint32_t zero_points; /* The same for the zero points: an int32 each. */
  uint32_t run;         /* Never 0. */
  uint8_t kind;         /* MaasSegmentKind. */
  uint8_t from;         /* maas.v1.DataType; COPY and FILL: not looked at. */
  uint8_t to;
  uint8_t size;     /* COPY and FILL: bytes of an element: 1, 2, 4 or 8. */
  uint8_t axis_run; /* Not 0: the run goes along the axis of quantization. */
  uint8_t loop_count;
  uint8_t unused[2]; /* 0. */
  MaasSegmentLoop loops[MAAS_SEGMENT_LOOPS];
} MaasSegment;

#ifdef __cplusplus
} /* extern "C" */

static_assert(sizeof(MaasSegmentLoop) == 24);
static_assert(sizeof(MaasSegment) == 152);
#endif
