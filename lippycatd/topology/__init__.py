"""The pipeline: a validated plan, opening what it needs, and running it."""
