"""Measurements, side by side in one run and as CPU time: `make bench`. Nothing here is imported by the program.

`__main__` runs the scenarios, one file each; `pace` says how long and makes rounds into figures; `machines` starts
servers and reads their CPU time and memory; `candidates` knows their commands, `site` their files; `load`, `crowd` and
`listeners` are the clients; `table` prints. A figure of one run is compared with figures of the same run only, for the
machine is shared. How to read the tables: docs/benchmarks.md.
"""
