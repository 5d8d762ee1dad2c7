"""What passes between stages: frozen, hashable, torch-free records, and the files that hold them."""
