#include "maas/wire/field_path.h"

namespace maas {

std::string ToString(const FieldPath* path) {
  if (path == nullptr) return "";
  std::string out = ToString(path->parent);
  if (!out.empty()) out += '.';
  out += path->name;
  if (path->index >= 0) out += '[' + std::to_string(path->index) + ']';
  return out;
}

}  // namespace maas
