"""What people see of a run: live table, plain lines, evaluation tables."""
