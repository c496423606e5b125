// Makes a TensorView of a tensorflow.TensorProto.
//
// The elements are either tensor_content or values of the one field that belongs to the datatype. Where the
// message has them as the core wants them (tensor_content but of DT_STRING, and packed float_val, double_val
// and bool_val), the tensor sees them there; the others are converted into TensorView::owned. As TensorFlow
// does it, the last value stands for all that are missing, and without any value the elements are zeros.
// Integers of 8 and 16 bits may be sent signed or unsigned; their lower bits count. Bools come out as 0
// and 1. Threads: pure functions.
#pragma once

#include <cstddef>

#include "maas/base/status.h"
#include "maas/wire/predict_view.h"
#include "maas/wire/tensorflow_entry.h"

namespace maas {

// What those elements of a request may take in all that its values stand for without being sent.
inline constexpr size_t kMaxFilledBytes = size_t{256} << 20;

// Overwrites *tensor. *room is what is left of kMaxFilledBytes for this request; `at` names the entry.
// INVALID_ARGUMENT names field, expected and actual.
Status TakeTensorFlowTensor(const TensorFlowEntry& entry, const FieldPath* at, size_t* room,
                            TensorView* tensor);

}  // namespace maas
