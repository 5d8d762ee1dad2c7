"""A study while it runs: its page on loopback, kept fresh."""
