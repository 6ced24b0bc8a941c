"""Work on one slide: its job, its plan, its tasks, and what a worker keeps between tasks."""
