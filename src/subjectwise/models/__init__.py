"""Models: bases, adapters, classification heads, how labels are scored, and the folder that has it all."""
