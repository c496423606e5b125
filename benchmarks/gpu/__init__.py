"""The kernels on a GPU, measured without a server: `python -m benchmarks.gpu` needs numpy and nothing else."""
