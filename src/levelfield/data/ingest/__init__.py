"""What people bring, found and listed: one file a format; what is listed is kept as an index and a manifest."""
