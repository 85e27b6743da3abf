"""Everything that is plugged into the suite: models, data sets, initialisers. One class registers one of them."""
