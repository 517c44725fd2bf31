"""Training: the trainer, its callbacks, history, optimisers and schedules, and runs kept in folders."""
