"""Measurements, side by side in one run and as CPU time: `make bench`. Nothing here is imported by the program.

`__main__` runs the scenarios; `machines` starts servers and reads their CPU time and memory from /proc; `load` drives
wrk; `table` prints. A figure of one run is compared with figures of the same run only, for the machine is shared.
"""
