"""What networks answer with: one folder for each kind of answer, and all that is done with it."""
