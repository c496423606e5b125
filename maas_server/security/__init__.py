"""What servers show of themselves, and whom they let in."""
