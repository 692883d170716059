"""What one writes with other tools for the same job, as plainly as their own examples do."""
