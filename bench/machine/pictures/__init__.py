"""Pictures as files: photos and masks, depth maps, moving pictures."""
