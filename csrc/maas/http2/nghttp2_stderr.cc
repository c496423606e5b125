// What nghttp2's one function for debugging writes to, under the name that scripts/front_libraries.sh gives
// it, so that the static archive can be linked into a shared library. Nobody calls that function.
#include <cstdio>

extern "C" {
extern __attribute__((visibility("hidden"))) std::FILE* maas_nghttp2_stderr;
std::FILE* maas_nghttp2_stderr = nullptr;
}
