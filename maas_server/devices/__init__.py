"""NVIDIA GPUs as Python sees them; nothing here needs one to be imported.

find        what this machine and environment have for serving (cli/doctor.py); asks driver, runtime and elf
facts       what it found, as data
report      what `maas doctor` says of it
placement   which GPUs the instances of a version go to: pure functions over a table of them (no runner asks yet)
table       objects over a table of functions of csrc/maas/gpu/device_api.h (tests, benchmarks)
layout      its structures for ctypes
"""
