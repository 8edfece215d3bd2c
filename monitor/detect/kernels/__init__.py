"""Pure functions over arrays: no clock, no I/O, no logging. tests/naive.py is their obvious reference."""
