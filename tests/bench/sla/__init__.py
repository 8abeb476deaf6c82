"""Everything that was promised, measured in one go on this machine, with a verdict for each promise."""
