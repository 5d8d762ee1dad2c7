"""Properties that whatever is plugged in must have: call them from the tests of a task, a family or a source."""
