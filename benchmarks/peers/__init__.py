"""Other servers under the same load: Python model servers, and a plain handler under perf_analyzer."""
