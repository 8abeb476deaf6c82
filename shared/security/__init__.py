"""Keys and tokens: who somebody is and what they may do."""
