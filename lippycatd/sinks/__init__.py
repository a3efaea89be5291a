"""Where selected packets and records go."""
