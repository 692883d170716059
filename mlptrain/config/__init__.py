"""The configuration: YAML files and KEY=VALUE arguments, read into one validated, frozen model."""
