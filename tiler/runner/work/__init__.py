"""Work on one slide: its job, its plan, its tasks, and the state of a worker between tasks."""
