// Datatypes between the core, their names, and numpy.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "maas/base/datatype.h"

namespace maas::bindings {

// Throws std::invalid_argument for a name that is none.
DataType ParseDataType(const std::string& name);

// The numpy dtype of an array of `type`: uint16 for BF16, object for BYTES. REQUIRES: the GIL.
pybind11::dtype NumpyDtype(DataType type);

// Whether elements of `dtype` have the bits of `type`, in this machine's byte order. Cheaper than comparing
// dtypes. REQUIRES: the GIL; type is not kBytes.
bool HoldsType(const pybind11::dtype& dtype, DataType type);

}  // namespace maas::bindings
