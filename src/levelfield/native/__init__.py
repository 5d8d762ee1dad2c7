"""C for the CPU, where torch takes many passes over memory: built once a machine, tested against torch."""
