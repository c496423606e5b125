"""What the protocols that others defined say of our models: pure functions from views to messages."""
