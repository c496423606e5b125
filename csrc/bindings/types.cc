#include "bindings/types.h"

#include <stdexcept>

namespace py = pybind11;

namespace maas::bindings {

DataType ParseDataType(const std::string& name) {
  for (int i = 1; i < kDataTypeCount; ++i) {
    if (Name(static_cast<DataType>(i)) == name) return static_cast<DataType>(i);
  }
  throw std::invalid_argument("datatype: expected one of the Open Inference Protocol's names, got '" + name +
                              "'");
}

py::dtype NumpyDtype(DataType type) {
  constexpr const char* kCodes[kDataTypeCount] = {"V",  "?",  "u1", "u2", "u4", "u8", "i1", "i2",
                                                  "i4", "i8", "f2", "u2", "f4", "f8", "O"};
  return py::dtype(std::string(kCodes[static_cast<int>(type)]));
}

bool HoldsType(const py::dtype& dtype, DataType type) {
  // numpy's kinds, by DataType.
  constexpr char kKinds[] = "VbuuuuiiiifuffO";
  return dtype.kind() == kKinds[static_cast<int>(type)] &&
         dtype.itemsize() == static_cast<py::ssize_t>(ElementSize(type)) && dtype.byteorder() != '>';
}

}  // namespace maas::bindings
