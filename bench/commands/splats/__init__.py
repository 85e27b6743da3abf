"""`bench export`, `bench view`, `bench report --viewer`: the Gaussians of stored cells, trained again."""
