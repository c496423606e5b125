// What a kernel does to each element of a segment: shared by the compiler of the CPU and that of the GPU.
