"""What the networks see: the exact order of examples, the sources they come from, and the loader that joins them."""
