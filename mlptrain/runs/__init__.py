"""One run on disk: `train.run` trains a `Job` and writes its `RunFolder`, history and checkpoints.

The other modules read and diagnose what is in the folder.
"""
