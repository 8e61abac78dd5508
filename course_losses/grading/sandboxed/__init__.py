"""Everything of the grader that stands inside the sandbox, where learners' code can read and spoil it."""
