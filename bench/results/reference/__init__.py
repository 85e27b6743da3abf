"""Values that others have printed or measured again: what results are set beside."""
