#!/usr/bin/env bash
# Prints the linker's flags for what the compiled front is built on: front_libraries.sh FOLDER
#
# nghttp2 is linked statically where its archive is there, so that nothing but what Python itself needs (OpenSSL, zlib)
# has to be on the machine that serves; FOLDER takes what is made for that. When something is missing it
# fails, prints no flags, and names the Debian packages on standard error.
set -euo pipefail

folder=$1
cxx=${CXX:-c++}
packages=()

has_header() { echo "#include <$1>" | "$cxx" -std=c++20 -fsyntax-only -x c++ - >/dev/null 2>&1; }
links() { echo 'int f() { return 0; }' | "$cxx" -shared -fPIC -x c++ - -o /dev/null "$@" >/dev/null 2>&1; }
has_header nghttp2/nghttp2.h && links -lnghttp2 || packages+=(libnghttp2-dev)
has_header openssl/ssl.h && links -lssl -lcrypto || packages+=(libssl-dev)
has_header zlib.h && links -lz || packages+=(zlib1g-dev)
if ((${#packages[@]})); then
  echo "${packages[*]}" >&2
  exit 1
fi

# Debian's archive is compiled for programs. In a shared library one reference cannot stand, that of a function for
# debugging to stderr; under a name of our own it can.
archive=$("$cxx" -print-file-name=libnghttp2.a)
mine=$folder/libmaas_nghttp2.a
nghttp2=-lnghttp2
if [[ -e $archive ]] && command -v objcopy >/dev/null; then
  mkdir -p "$folder"
  if [[ ! -e $mine || $archive -nt $mine ]]; then
    objcopy --redefine-sym stderr=maas_nghttp2_stderr "$archive" "$mine.$$" && mv "$mine.$$" "$mine"
  fi
  if [[ -e $mine ]] && echo '#include <cstdio>
      extern "C" __attribute__((visibility("hidden"))) FILE* maas_nghttp2_stderr; FILE* maas_nghttp2_stderr;' | "$cxx" -shared -fPIC -x c++ - -x none -o /dev/null \
    -Wl,--whole-archive "$mine" -Wl,--no-whole-archive >/dev/null 2>&1; then
    nghttp2=$mine
  fi
fi
echo "$nghttp2 -lssl -lcrypto -lz"
