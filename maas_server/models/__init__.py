"""Models: their files, how they are loaded, checked and kept, and what runs them."""
