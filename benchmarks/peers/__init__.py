"""Scripts for the same job with other libraries, in the style of their own examples."""
