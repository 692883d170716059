"""Many runs from one sweep file: its space, who samples it, stacks of trials in workers, journal and leaderboard."""
