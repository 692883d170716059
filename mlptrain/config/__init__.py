"""The configuration: YAML and KEY=VALUE arguments to one validated, frozen model."""
