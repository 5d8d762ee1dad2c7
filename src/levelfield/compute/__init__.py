"""The currency: floating-point operations counted, devices that spend them, budgets that buy examples."""
