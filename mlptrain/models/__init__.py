"""Trained models: files, evaluation, inspection and export."""
