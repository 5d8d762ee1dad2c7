"""Pictures that are made by index and never stored: one file a stream."""
