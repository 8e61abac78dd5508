"""What of the grader stands inside the sandbox, where a notebook can read and spoil it."""
