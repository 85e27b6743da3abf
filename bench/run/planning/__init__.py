"""From what is asked for to the cells to run: their cost and needs, the plan as a file, how far it is."""
