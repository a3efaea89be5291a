"""What a running process tells: reports, metrics, the accounting at the end."""
