"""Steps without a host: all of the parameter side as tensors of the device, and the whole step captured on a GPU."""
