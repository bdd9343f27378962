"""Coverage-guided fuzzing of everything that reads bytes from outside, with atheris. `make fuzz` runs it.

A target is a module with a `TARGET`: what one input must never do (`check`), inputs to begin with, and words that are
worth trying. What holds for all: the documented errors are the only ones, and bytes mean the same however they are
cut. Targets need nothing but the standard library, so tests run their first inputs and what was found in the past
(tests/conformance/test_fuzz_targets.py). `drive` runs one target under atheris, `__main__` all for a bounded time.
"""
