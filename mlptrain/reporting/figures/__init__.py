"""Pictures drawn with matplotlib (extra: plots): one kind a function, each of which returns a figure."""
