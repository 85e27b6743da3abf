"""What is done with results folders as they are: compare, merge, publish, verify."""
