"""What flows: the records and their fields."""
