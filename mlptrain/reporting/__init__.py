"""Output for people: progress, tables, charts, plots and HTML reports."""
