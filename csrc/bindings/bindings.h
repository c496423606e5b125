// What module.cc registers; one bind_*.cc each.
#pragma once

#include <pybind11/pybind11.h>

namespace maas::bindings {

void BindErrors(pybind11::module_& m);
void BindQueue(pybind11::module_& m);
void BindVersion(pybind11::module_& m);
void BindInstance(pybind11::module_& m);
void BindCore(pybind11::module_& m);
void BindFront(pybind11::module_& m);

}  // namespace maas::bindings
